/* confine.c - a worker gives up what it will never need. Contract in confine.h.
 * SPDX-License-Identifier: MIT
 * From: worker.c, first thing; the user is dropped and no_new_privs set by then (roles.c).   Runs in: a worker.
 * A worker reads what strangers send. Should one of them get it to run code of his own, that code can start no program, trace no process, open no connection and load nothing into
 * the kernel. A list of what is denied, not of what is allowed: libc takes other calls with each version, and a worker that fails to start is no safer. */
#include "confine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#define FOREIGN 0x40000000u /* x32: the same calls by other numbers */
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#define FOREIGN UINT32_MAX
#else
#error "which calls there are is known for x86-64 and aarch64"
#endif

static const int denied[] = {
        /* programs, and other processes. LeakSanitizer traces, and sanitizers start a symbolizer. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        SYS_execve, SYS_execveat, SYS_ptrace,
#endif
        SYS_process_vm_readv, SYS_process_vm_writev, SYS_kcmp, SYS_pidfd_open, SYS_pidfd_getfd,
        /* sockets come from the master alone */
        SYS_socket, SYS_connect, SYS_bind, SYS_listen,
        /* the system */
        SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_move_mount, SYS_open_tree, SYS_fsopen, SYS_fsmount, SYS_swapon, SYS_swapoff, SYS_reboot, SYS_acct,
        SYS_sethostname, SYS_setdomainname, SYS_settimeofday, SYS_clock_settime, SYS_clock_adjtime, SYS_adjtimex, SYS_init_module, SYS_finit_module, SYS_delete_module,
        SYS_kexec_load, SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_keyctl, SYS_add_key, SYS_request_key, SYS_unshare, SYS_setns, SYS_quotactl, SYS_personality,
        SYS_open_by_handle_at, SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register,
        /* who we are */
        SYS_setuid, SYS_setgid, SYS_setreuid, SYS_setregid, SYS_setresuid, SYS_setresgid, SYS_setfsuid, SYS_setfsgid, SYS_setgroups, SYS_capset,
#ifdef __x86_64__
        SYS_kexec_file_load, SYS_iopl, SYS_ioperm, SYS_modify_ldt,
#endif
};

enum { COUNT = sizeof(denied) / sizeof(*denied), FRONT = 4 };
_Static_assert(COUNT < 250, "jumps reach 255 instructions");

/* arch, number, one comparison for each denied call; the kernel remembers which numbers are always allowed, so the length costs nothing. */
static int
filter_install(void)
{
        struct sock_filter f[FRONT + COUNT + 2];
        struct sock_fprog program = { .len = FRONT + COUNT + 2, .filter = f };

        f[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
        f[1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 0, COUNT + 3); /* else denied */
        f[2] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
        f[3] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, FOREIGN, COUNT + 1, 0);
        for (unsigned i = 0; i < COUNT; i++)
                f[FRONT + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)denied[i], (uint8_t)(COUNT - i), 0);
        f[FRONT + COUNT] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
        f[FRONT + COUNT + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
        /* SPEC_ALLOW: older kernels would otherwise switch off store bypassing for us, at a price */
        if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program) < 0)
                return -errno;
        return 0;
}

int
confine_self(const struct confinement *c)
{
        if (!c->dumpable && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                return -errno;
        return c->seccomp ? filter_install() : 0;
}
