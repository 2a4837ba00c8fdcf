// A drop box: dot files do not exist, new files may be put into /incoming, and nothing else
// changes.
//
// Who frees what: the arguments and whatever an import returns are ours; what we return is freed
// by the caller. An instance answers many calls, so each gives back what it took.

#include <stdlib.h>
#include <string.h>

#include "path_guard.h"

// The generated names are exact, and long.
typedef path_guard_string_t string;
typedef exports_portcullis_plugin_path_policy_own_session_t session;
typedef exports_portcullis_plugin_path_policy_operation_t operation;
typedef exports_portcullis_plugin_path_policy_request_t request;
typedef exports_portcullis_plugin_path_policy_decision_t decision;
typedef exports_portcullis_plugin_path_policy_failure_t failure;
#define OPERATION(name) EXPORTS_PORTCULLIS_PLUGIN_PATH_POLICY_OPERATION_##name
#define DECISION(name) EXPORTS_PORTCULLIS_PLUGIN_PATH_POLICY_DECISION_##name

// Paths come normalised: no "..", no empty parts, always from the root.
static bool has_dot_file(string path) {
  for (size_t at = 1; at < path.len; at++)
    if (path.ptr[at - 1] == '/' && path.ptr[at] == '.') return true;
  return false;
}

static bool is_new(operation operation) {
  return operation.tag == OPERATION(UPLOAD) &&
         operation.val.upload == PORTCULLIS_PLUGIN_TYPES_UPLOAD_MODE_CREATE;
}

static bool lies_in(string path, const char *folder) {
  size_t length = strlen(folder);
  return path.len >= length && memcmp(path.ptr, folder, length) == 0;
}

static void decide(const request *request, decision *decision) {
  uint8_t tag = request->operation.tag;
  if (has_dot_file(request->path)) {
    decision->tag = DECISION(HIDE);
  } else if (tag == OPERATION(SEE) || tag == OPERATION(LIST) || tag == OPERATION(DOWNLOAD) ||
             (is_new(request->operation) && lies_in(request->path, "/incoming/"))) {
    decision->tag = DECISION(ALLOW);
  } else {
    decision->tag = DECISION(DENY);
    path_guard_string_dup(&decision->val.deny, "Only new files in /incoming");
  }
}

// True for decisions in *ret, as many as there are requests; false for a failure in *err.
bool exports_portcullis_plugin_path_policy_decide(
    session session, exports_portcullis_plugin_path_policy_list_request_t *requests,
    exports_portcullis_plugin_path_policy_list_decision_t *ret, failure *err) {
  portcullis_plugin_types_session_drop_own(session);
  ret->len = requests->len;
  ret->ptr = calloc(requests->len, sizeof *ret->ptr);
  if (requests->len > 0 && ret->ptr == NULL) {
    err->tag = PORTCULLIS_PLUGIN_TYPES_FAILURE_INTERNAL;
    path_guard_string_dup(&err->val.internal, "out of memory");
    return false;
  }
  for (size_t at = 0; at < requests->len; at++) decide(&requests->ptr[at], &ret->ptr[at]);
  exports_portcullis_plugin_path_policy_list_request_free(requests);
  return true;
}

typedef exports_portcullis_plugin_settings_check_list_problem_t problems;

static void add_problem(problems *problems, string key, const char *reason) {
  size_t size = (problems->len + 1) * sizeof *problems->ptr;
  void *grown = realloc(problems->ptr, size);
  if (grown == NULL) return;  // what has been found will do
  problems->ptr = grown;
  exports_portcullis_plugin_settings_check_problem_t *last = &problems->ptr[problems->len++];
  path_guard_string_dup_n(&last->key, (char *)key.ptr, key.len);
  path_guard_string_dup(&last->reason, reason);
}

// Asked when the plugin is loaded, so that a wrong setting is found by `portcullis check`. True when
// all is well, false for problems in *err, which the caller frees.
bool exports_portcullis_plugin_settings_check_check(problems *err) {
  *err = (problems){NULL, 0};
  string all = {(uint8_t *)"", 0};
  path_guard_list_string_t keys;
  if (portcullis_plugin_settings_keys(&all, &keys)) {
    // There are no settings: whatever is written there is a mistake.
    for (size_t at = 0; at < keys.len; at++)
      add_problem(err, keys.ptr[at], "there is no such setting");
    path_guard_list_string_free(&keys);
  }
  return err->len == 0;
}
