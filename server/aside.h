/* aside.h - work that must not take the processor away from requests.
 * SPDX-License-Identifier: MIT */
#ifndef HEART_ASIDE_H
#define HEART_ASIDE_H

/* Runs fn(arg) on a thread of its own with little claim on the processor (nice 10), and returns when it is done; the caller waits. On an idle machine it is as
 * fast as a call; where everything is busy it takes what the loops leave, and a tenth at least. Where no thread can be had, fn runs here.
 * For generations: building or freeing one of ten thousand routes is tens of milliseconds of work, which on a busy core would come before somebody's request. */
void aside_run(void (*fn)(void *arg), void *arg);

/* The same without waiting. NULL: no thread could be had, fn has run here and is over. Else aside_join, once; NULL is fine there. */
struct aside;
struct aside *aside_start(void (*fn)(void *arg), void *arg);
void aside_join(struct aside *a);

#endif
