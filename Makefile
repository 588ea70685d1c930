# Makefile - builds, tests, runs and installs heart. GNU make, hand-written, one make for the whole tree.
# SPDX-License-Identifier: MIT
# Reads config.mk, which ./configure writes (and which is made here when it is absent). Everything built lands in build/.
# Each floor is one archive - build/librouter.a, build/libipc.a, build/libserver.a - and its unit tests link what that
# floor may use and nothing else, so that a call in the wrong direction is a link error.
#
#   make deps       install the packages that building and testing need     make run        the demo site on port 8080
#   make            build                                                   make check      everything that must pass
#   make bench      heart beside the peers that are installed (deps bench)  make fuzz       fuzz every parser for a while
#   make install    honours prefix and DESTDIR                              make model      search the protocol of the rings
#   make uninstall  clean  distclean  docs

srcdir ?= .
S := $(srcdir)
B := build
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
# One line a command; V=1 shows them whole.
ifeq ($(V),)
say = $(if $(findstring s,$(firstword -$(MAKEFLAGS))),@,@echo '  $(1) $@';)
endif

# ---- deps comes first, whatever else is asked for and whatever -j says --------------------------------------------------
# What it installs decides what configure finds, so the other goals run in a second make, after it.
ifneq ($(filter deps,$(MAKECMDGOALS)),)
OTHER_GOALS := $(filter-out deps,$(MAKECMDGOALS))
.PHONY: deps $(OTHER_GOALS)
deps:
	@sh $S/.ci/deps $(filter bench,$(MAKECMDGOALS))
$(firstword $(OTHER_GOALS)): deps
	+@$(MAKE) --no-print-directory $(OTHER_GOALS)
$(wordlist 2,$(words $(OTHER_GOALS)),$(OTHER_GOALS)): $(firstword $(OTHER_GOALS))
	@:
else

# ---- configuration --------------------------------------------------------------------------------------------------------
# config.mk is made on demand. Debian's own interpreter is preferred to another one on PATH, since Debian's packages
# (Django and the like) belong to it; run ./configure yourself for anything else.
NO_CONFIG_GOALS := clean distclean configure-refresh
ifneq ($(or $(filter-out $(NO_CONFIG_GOALS),$(MAKECMDGOALS)),$(if $(MAKECMDGOALS),,all)),)
include config.mk
endif

config.mk: $S/configure $S/config.mk.in
	@if test -x config.status; then ./config.status --recheck && ./config.status; \
	elif test -x /usr/bin/python3; then $S/configure --with-python=/usr/bin/python3; \
	else $S/configure; fi
	@touch config.mk

# ---- flags ------------------------------------------------------------------------------------------------------------------
PYTHON_DIR = $(libdir)/heart/python
# _GNU_SOURCE is defined as nothing, so that a file may define it too.
HEART_CPPFLAGS = -I$S -D_GNU_SOURCE= -DHEART_VERSION='"$(VERSION)"' -DHEART_SYSCONFDIR='"$(sysconfdir)"' \
	-DHEART_PYTHON='"$(PYTHON)"' -DHEART_PYTHON_DIR='"$(PYTHON_DIR)"' $(CPPFLAGS)
COMPILE = $(CC) -std=gnu11 -pthread $(HEART_CPPFLAGS) $(WARNINGS) $(CFLAGS)
DEPFLAGS = -MMD -MP
LINK = $(CC) -pthread $(CFLAGS) $(SANITIZE) $(LDFLAGS)
FLOOR_CFLAGS = $(YAML_CFLAGS) $(PCRE2_CFLAGS) $(OPENSSL_CFLAGS) $(CODING_CFLAGS) $(CRYPT_CFLAGS)

ROUTER_LIBS = $(YAML_LIBS) $(PCRE2_LIBS)
SERVER_LIBS = $(OPENSSL_LIBS) $(CODING_LIBS) $(CRYPT_LIBS) $(ROUTER_LIBS)

# ---- sources ----------------------------------------------------------------------------------------------------------------
PROGRAM_SOURCES := server/main.c server/heartctl.c
sources_in = $(patsubst $S/%,%,$(wildcard $S/$(1)))
ROUTER_SOURCES := $(call sources_in,router/*.c)
IPC_SOURCES := $(call sources_in,ipc/*.c)
SERVER_SOURCES := $(filter-out $(PROGRAM_SOURCES),$(call sources_in,server/*.c))
RING_SOURCES := $(call sources_in,workers/heart/*.c)
# What of the extension knows neither Python nor ipc/: an archive of its own, so that unit tests and fuzzers can link it.
FORM_SOURCES := workers/heart/multipart.c workers/heart/urlencoded.c
PACKAGE_FILES := $(call sources_in,workers/heart/*.py) $(call sources_in,workers/heart/*.pyi) $(call sources_in,workers/heart/py.typed)
UNIT_SOURCES := $(call sources_in,t/unit/*/test_*.c)
UNIT_HELPERS := $(filter-out $(UNIT_SOURCES),$(call sources_in,t/unit/*/*.c))
FUZZ_SOURCES := $(call sources_in,t/fuzz/fuzz_*.c)
MICRO_SOURCES := $(call sources_in,t/bench/bench_*.c)

objects = $(patsubst %.c,$B/obj/%.o,$(1))
RING_SO = $B/python/heart/_ring$(PYTHON_EXT_SUFFIX)
PACKAGE = $(patsubst workers/heart/%,$B/python/heart/%,$(PACKAGE_FILES)) $(if $(RING_SOURCES),$(RING_SO))
COMPILED = $B/python/heart/__pycache__/compiled
PROGRAMS := $(patsubst server/main,$B/heartd,$(patsubst server/heartctl,$B/heartctl,$(basename $(call sources_in,server/main.c) $(call sources_in,server/heartctl.c))))
UNIT_PROGRAMS := $(patsubst %.c,$B/%,$(UNIT_SOURCES))
FUZZ_PROGRAMS := $(patsubst %.c,$B/%,$(FUZZ_SOURCES))
MICRO_PROGRAMS := $(patsubst %.c,$B/%,$(MICRO_SOURCES))
LOAD_PROGRAM := $B/t/bench/load

# ---- build ------------------------------------------------------------------------------------------------------------------
.PHONY: all archives tests
all: archives $(PROGRAMS) $(PACKAGE) $(COMPILED)
archives: $B/librouter.a $B/libipc.a $B/libserver.a $B/libforms.a
tests: all $B/docs $(UNIT_PROGRAMS) $(FUZZ_PROGRAMS) $(LOAD_PROGRAM)

$B/obj/%.o: $S/%.c config.mk
	@mkdir -p $(@D)
	$(call say,cc)$(COMPILE) $(FLOOR_CFLAGS) $(SANITIZE) $(DEPFLAGS) -c -o $@ $<

$B/librouter.a: $(call objects,$(ROUTER_SOURCES))
$B/libipc.a: $(call objects,$(IPC_SOURCES))
$B/libserver.a: $(call objects,$(SERVER_SOURCES))
$B/libforms.a: $(call objects,$(FORM_SOURCES))
$B/librouter.a $B/libipc.a $B/libserver.a $B/libforms.a:
	@mkdir -p $(@D)
	@rm -f $@
	$(call say,ar)$(AR) rcs $@ $^

$B/heartd: $B/obj/server/main.o $B/libserver.a $B/librouter.a $B/libipc.a
$B/heartctl: $B/obj/server/heartctl.o $B/libserver.a $B/librouter.a $B/libipc.a
$B/heartd $B/heartctl:
	$(call say,ld)$(LINK) -o $@ $^ $(SERVER_LIBS) $(LIBS)

# The extension carries its own copy of ipc/, position independent. Sanitizers stay out of it: the interpreter that loads
# it is built without them. RING_SANITIZE=... puts one in, to be run under LD_PRELOAD.
RING_SANITIZE =
RING_OBJECTS := $(patsubst %.c,$B/pic/%.o,$(RING_SOURCES) $(IPC_SOURCES))
$B/pic/%.o: $S/%.c config.mk
	@mkdir -p $(@D)
	$(call say,cc)$(COMPILE) -fPIC -fvisibility=hidden $(PYTHON_CFLAGS) $(RING_SANITIZE) $(DEPFLAGS) -c -o $@ $<
$(RING_SO): $(RING_OBJECTS)
	@mkdir -p $(@D)
	$(call say,ld)$(CC) -pthread -shared $(CFLAGS) $(RING_SANITIZE) $(LDFLAGS) -o $@ $^
$B/python/heart/%: $S/workers/heart/%
	@mkdir -p $(@D)
	@cp $< $@
# Pyworkers write no bytecode, so each start would compile the package anew, a sixth of its CPU time. A .pyc that carries
# the hash of its source is right whatever copying does to times, and out of date when somebody edits the source.
compile_package = $(PYTHON) -m compileall -q -l --invalidation-mode checked-hash
$(COMPILED): $(filter %.py,$(PACKAGE)) config.mk
	@mkdir -p $(@D)
	$(call say,py)$(compile_package) $(patsubst %/,%,$(dir $(@D)))
	@touch $@

# What the key tables say, as schema and manual: `make docs` after a change of a .def; t/golden/documents.py compares.
$B/docs: $B/obj/etc/docs.o $B/libserver.a $B/librouter.a $B/libipc.a
	$(call say,ld)$(LINK) -o $@ $^ $(SERVER_LIBS) $(LIBS)
.PHONY: docs
docs: $B/docs
	@$(PYTHON) $S/etc/docs.py $B $S

# ---- tests ------------------------------------------------------------------------------------------------------------------
# Each floor's tests with that floor's archive alone. Other .c files beside them are helpers of all tests of the floor.
helpers_of = $(call objects,$(filter t/unit/$(1)/%,$(UNIT_HELPERS)))
$B/t/unit/router/%: $B/obj/t/unit/router/%.o $(call helpers_of,router) $B/librouter.a
	@mkdir -p $(@D)
	$(call say,ld)$(LINK) -o $@ $^ $(ROUTER_LIBS) $(CHECK_LIBS)
$B/t/unit/ipc/%: $B/obj/t/unit/ipc/%.o $(call helpers_of,ipc) $B/libipc.a
	@mkdir -p $(@D)
	$(call say,ld)$(LINK) -o $@ $^ $(CHECK_LIBS)
$B/t/unit/server/%: $B/obj/t/unit/server/%.o $(call helpers_of,server) $B/libserver.a $B/librouter.a $B/libipc.a
	@mkdir -p $(@D)
	$(call say,ld)$(LINK) -o $@ $^ $(SERVER_LIBS) $(CODING_TEST_LIBS) $(CHECK_LIBS)
$B/t/unit/workers/%: $B/obj/t/unit/workers/%.o $(call helpers_of,workers) $B/libforms.a
	@mkdir -p $(@D)
	$(call say,ld)$(LINK) -o $@ $^ $(CHECK_LIBS)
$B/obj/t/unit/%.o: FLOOR_CFLAGS += $(CHECK_CFLAGS)

# A fuzz target is LLVMFuzzerTestOneInput; here replay.c feeds it the corpus, under `make fuzz` libFuzzer does.
$B/t/fuzz/fuzz_%: $B/obj/t/fuzz/fuzz_%.o $B/obj/t/fuzz/replay.o $B/libforms.a $B/libserver.a $B/librouter.a $B/libipc.a
	@mkdir -p $(@D)
	$(call say,ld)$(LINK) -o $@ $^ $(SERVER_LIBS)
# bench_http1 measures other parsers too: libhttp-parser when its header is installed, picohttpparser when PICOHTTPPARSER names its folder.
# The latter is compiled twice, under two prefixes: for SSE4.2, and for the processor that this is.
BENCH_HTTP1_LIBS := $(if $(wildcard /usr/include/http_parser.h),-lhttp_parser)
BENCH_HTTP1_FLAGS := $(if $(BENCH_HTTP1_LIBS),-DHAVE_HTTP_PARSER)
PICO_CALLS := phr_parse_request phr_parse_response phr_parse_headers phr_decode_chunked phr_decode_chunked_is_in_data
PICO_OBJECTS := $(if $(PICOHTTPPARSER),$B/obj/t/bench/pico_sse42.o $B/obj/t/bench/pico_native.o)
$B/obj/t/bench/pico_sse42.o: PICO_FLAGS = $(if $(filter x86_64,$(shell uname -m)),-msse4.2)
$B/obj/t/bench/pico_native.o: PICO_FLAGS = -march=native
$B/obj/t/bench/pico_%.o: $(PICOHTTPPARSER)/picohttpparser.c
	@mkdir -p $(@D)
	$(call say,cc)$(CC) -O3 $(PICO_FLAGS) $(foreach call,$(PICO_CALLS),-D$(call)=$*_$(call)) -c -o $@ $<
BENCH_HTTP1_FLAGS += $(if $(PICOHTTPPARSER),-DHAVE_PICOHTTPPARSER -I$(PICOHTTPPARSER))
.PHONY: look
$B/obj/t/bench/pico.folder: look
	@mkdir -p $(@D)
	@echo '$(PICOHTTPPARSER)' | cmp -s - $@ || echo '$(PICOHTTPPARSER)' > $@
$B/obj/t/bench/bench_http1.o: $B/obj/t/bench/pico.folder
$B/obj/t/bench/bench_http1.o: FLOOR_CFLAGS += $(BENCH_HTTP1_FLAGS)
$B/t/bench/bench_http1: $(PICO_OBJECTS)
$B/t/bench/bench_http1: LIBS += $(BENCH_HTTP1_LIBS)
$B/t/bench/bench_%: $B/obj/t/bench/bench_%.o $B/libserver.a $B/librouter.a $B/libipc.a
	@mkdir -p $(@D)
	$(call say,ld)$(LINK) -o $@ $^ $(SERVER_LIBS) $(LIBS)

$(LOAD_PROGRAM): $B/obj/t/bench/load.o
	@mkdir -p $(@D)
	$(call say,ld)$(LINK) -o $@ $^

RUN_TESTS = $(PYTHON) $S/t/run.py --build $(CURDIR)/$B --src $(abspath $S) --sanitize='$(SANITIZE)'
.PHONY: check check-unit check-fuzz check-golden check-e2e
check: tests
	@$(RUN_TESTS) $(if $(ONLY),--only '$(ONLY)')
check-unit: $(UNIT_PROGRAMS) all
	@$(RUN_TESTS) --only unit/
check-fuzz: $(FUZZ_PROGRAMS)
	@$(RUN_TESTS) --only fuzz/
check-golden: tests
	@$(RUN_TESTS) --only golden/
check-e2e: all
	@$(RUN_TESTS) --only e2e/

# The rings' protocol, in the worlds that take minutes to search too (t/model/README.md).
.PHONY: model
model:
	@$(PYTHON) $S/t/model/run.py

# ---- fuzz: clang and libFuzzer, objects of their own --------------------------------------------------------------------------
FUZZ_CC = clang
FUZZ_SECONDS = 60
FUZZ_FLAGS = -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
FUZZ_FLOORS := $(patsubst %.c,$B/fuzz/obj/%.o,$(ROUTER_SOURCES) $(IPC_SOURCES) $(SERVER_SOURCES) $(FORM_SOURCES))
$B/fuzz/obj/%.o: $S/%.c config.mk
	@mkdir -p $(@D)
	$(call say,fuzz)$(FUZZ_CC) -std=gnu11 -pthread $(HEART_CPPFLAGS) $(FLOOR_CFLAGS) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link $(DEPFLAGS) -c -o $@ $<
$B/fuzz/libheart.a: $(FUZZ_FLOORS)
	@rm -f $@
	@$(AR) rcs $@ $^
$B/fuzz/fuzz_%: $B/fuzz/obj/t/fuzz/fuzz_%.o $B/fuzz/libheart.a
	$(call say,fuzz)$(FUZZ_CC) -pthread $(FUZZ_FLAGS) -fsanitize=fuzzer -o $@ $^ $(SERVER_LIBS)
.PHONY: fuzz
fuzz: $(patsubst t/fuzz/%.c,$B/fuzz/%,$(FUZZ_SOURCES))
	@for program in $^; do name=$${program##*/fuzz_}; mkdir -p $B/fuzz/corpus/$$name; \
		echo "fuzz $$name, $(FUZZ_SECONDS) s"; \
		$$program -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 -artifact_prefix=$B/fuzz/$$name- \
			$$(test -f $S/t/fuzz/fuzz_$$name.dict && echo -dict=$S/t/fuzz/fuzz_$$name.dict) \
			$B/fuzz/corpus/$$name $$(test -d $S/t/fuzz/corpus/$$name && echo $S/t/fuzz/corpus/$$name) || exit 1; done

# ---- run, bench -----------------------------------------------------------------------------------------------------------------
.PHONY: run bench slow micro
run: all
	@echo 'heart: the demo site, http://127.0.0.1:8080/ - ctrl-c ends it'
	@HEART_PYTHONPATH=$(CURDIR)/$B/python exec $B/heartd -c $S/etc/routes.yaml
bench: all micro $(LOAD_PROGRAM)
	@$(PYTHON) $S/t/bench/bench.py --build $(CURDIR)/$B $(BENCH)
slow: all $(LOAD_PROGRAM)
	@$(PYTHON) $S/t/bench/slow.py --build $(CURDIR)/$B $(BENCH)
micro: $(MICRO_PROGRAMS)
	@for program in $^; do echo "== $${program##*/}"; $$program || exit 1; done

# ---- install ----------------------------------------------------------------------------------------------------------------------
D = $(DESTDIR)
SERVICE_DIR = $(libdir)/systemd/system
fill_in = sed -e 's|@sbindir@|$(sbindir)|g' -e 's|@bindir@|$(bindir)|g' -e 's|@sysconfdir@|$(sysconfdir)|g'
.PHONY: install uninstall
install: all
	install -d $D$(sbindir) $D$(bindir) $D$(PYTHON_DIR)/heart/__pycache__ $D$(sysconfdir)/heart \
		$D$(datadir)/heart $D$(mandir)/man5 $D$(mandir)/man8 $D$(SERVICE_DIR)
	install -m 755 $B/heartd $D$(sbindir)/heartd
	install -m 755 $B/heartctl $D$(bindir)/heartctl
	install -m 644 $(filter-out $(RING_SO),$(PACKAGE)) $D$(PYTHON_DIR)/heart
	install -m 755 $(RING_SO) $D$(PYTHON_DIR)/heart
	$(compile_package) -d $(PYTHON_DIR)/heart $D$(PYTHON_DIR)/heart
	install -m 644 $S/etc/routes.schema.json $D$(datadir)/heart/routes.schema.json
	for page in $S/etc/man/*.8; do $(fill_in) $$page > $D$(mandir)/man8/$${page##*/} || exit 1; done
	for page in $S/etc/man/*.5; do $(fill_in) $$page > $D$(mandir)/man5/$${page##*/} || exit 1; done
	$(fill_in) $S/etc/heart.service > $D$(SERVICE_DIR)/heart.service
	@if test -e $D$(sysconfdir)/heart/routes.yaml; then echo "kept: $D$(sysconfdir)/heart/routes.yaml"; \
	else $(fill_in) $S/etc/routes.start.yaml > $D$(sysconfdir)/heart/routes.yaml; fi
# What the administrator wrote, $(sysconfdir)/heart, stays.
uninstall:
	rm -f $D$(sbindir)/heartd $D$(bindir)/heartctl $D$(datadir)/heart/routes.schema.json $D$(SERVICE_DIR)/heart.service \
		$D$(mandir)/man8/heartd.8 $D$(mandir)/man8/heartctl.8 $D$(mandir)/man5/routes.yaml.5
	rm -rf $D$(PYTHON_DIR)
	-rmdir $D$(libdir)/heart $D$(datadir)/heart 2>/dev/null

# ---- upkeep -------------------------------------------------------------------------------------------------------------------------
.PHONY: clean distclean configure-refresh
clean:
	rm -rf $B
distclean: clean
	rm -rf config.mk config.log config.status autom4te.cache
# Needs autoconf. Run after a change of configure.ac and commit both.
configure-refresh:
	cd $S && autoconf -Wall && rm -rf autom4te.cache configure~

-include $(shell test -d $B && find $B -name '*.d')
endif
