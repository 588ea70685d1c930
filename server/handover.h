/* handover.h - an app's answer that names a file: heart sends it.
 * SPDX-License-Identifier: MIT
 * X-Accel-Redirect: /path    what the route table has for that path among static routes, `internal: true` ones too.
 * X-Sendfile: /folder/name   a file in one of the folders of apps.NAME.files; relative names count from the app's own folder. heart.File is this.
 * Both are percent-decoded, and neither ever reaches a client. The owning loop's thread only; roots are built with their generation and shared by loops. */
#ifndef HEART_HANDOVER_H
#define HEART_HANDOVER_H

#include "outgoing.h"
#include "static.h"

struct handover_roots; /* which folders each app may hand over */

/* Fills g->handover_roots. A folder that cannot be opened is a finding where it was named. 0, -EINVAL, -ENOMEM. */
int handover_build(struct generation *g, struct diags *d);
void handover_free(struct generation *g);

/* answer.c: the head that came (payload, len: as in IPC_REC_HEAD) hands over. The answer is made by handover_go, once the pyworker has said all. 0 or -EPROTO, -ENOMEM. */
int handover_begin(struct request *r, const uint8_t *payload, size_t len);
void handover_go(struct request *r);

/* serve_file.c: what the app said, which goes along. */
bool handover_is_plain(const struct request *r);       /* status 200 to a GET or HEAD: conditions and ranges count */
unsigned handover_status(const struct request *r);
bool handover_says(const struct request *r, enum ipc_header_id id); /* this field, in place of the file's own */
struct span handover_type(const struct request *r);
void handover_fields(struct outgoing *h, bool with_type); /* all that the app says, but for what is the file's to say */

#endif
