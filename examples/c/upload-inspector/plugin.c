// Rejects every upload that contains the EICAR test file, wherever in it.

#include <stdlib.h>
#include <string.h>

#include "upload_inspector.h"

// The generated names are exact, and long.
typedef upload_inspector_string_t string;

// Written backwards, so that no scanner takes this plugin itself for the test file.
static const char RACIE[] = "*H+H$!ELIF-TSET-SURIVITNA-DRADNATS-RACIE$}7)CC7)^P(45XZP\\4[PA@%P!O5X";
enum { SIGNATURE = sizeof RACIE - 1, OVERLAP = SIGNATURE - 1, CHUNK = 256 * 1024 };

// The library's memmem looks at every byte; memchr lets the first letter find the few places.
static bool contains(const uint8_t *bytes, size_t length) {
  const uint8_t *at = bytes, *end = bytes + length;
  while (end - at >= SIGNATURE && (at = memchr(at, RACIE[OVERLAP], end - at - OVERLAP))) {
    size_t same = 1;
    while (same < SIGNATURE && at[same] == (uint8_t)RACIE[OVERLAP - same]) same++;
    if (same == SIGNATURE) return true;
    at++;
  }
  return false;
}

// True for a verdict in *ret, false for a failure in *err, of which there is none here.
bool exports_portcullis_plugin_upload_inspection_inspect(
    exports_portcullis_plugin_upload_inspection_own_session_t session,
    exports_portcullis_plugin_upload_inspection_own_upload_t handle,
    exports_portcullis_plugin_upload_inspection_verdict_t *ret,
    exports_portcullis_plugin_upload_inspection_failure_t *err) {
  (void)session, (void)err;  // handles that are not given back end with the instance: this upload

  // The signature may lie across two chunks: the end of what came before, with the start of what
  // comes next, is searched as well.
  uint8_t border[2 * OVERLAP];
  size_t kept = 0;

  portcullis_plugin_uploads_borrow_upload_t upload = portcullis_plugin_uploads_borrow_upload(handle);
  upload_inspector_option_list_u8_t chunk;
  portcullis_plugin_uploads_interruption_t interruption;
  // An interruption ends the loop like the end of the file: the server ignores the verdict.
  while (portcullis_plugin_uploads_method_upload_read(upload, CHUNK, &chunk, &interruption) &&
         chunk.is_some) {
    const uint8_t *bytes = chunk.val.ptr;
    size_t length = chunk.val.len, head = length < OVERLAP ? length : OVERLAP;
    memcpy(border + kept, bytes, head);
    kept += head;
    bool found = contains(border, kept) || contains(bytes, length);

    // The last OVERLAP bytes of all that was read, for the next turn.
    const uint8_t *from = length >= OVERLAP ? bytes + length : border + kept;
    kept = length >= OVERLAP || kept > OVERLAP ? OVERLAP : kept;
    memmove(border, from - kept, kept);
    upload_inspector_option_list_u8_free(&chunk);  // each chunk is ours to free

    if (found) {
      ret->tag = EXPORTS_PORTCULLIS_PLUGIN_UPLOAD_INSPECTION_VERDICT_REJECT;
      upload_inspector_string_dup(&ret->val.reject, "EICAR test file");
      return true;
    }
  }
  ret->tag = EXPORTS_PORTCULLIS_PLUGIN_UPLOAD_INSPECTION_VERDICT_ACCEPT;
  return true;
}

typedef exports_portcullis_plugin_settings_check_list_problem_t problems;

static void add_problem(problems *problems, string key, const char *reason) {
  size_t size = (problems->len + 1) * sizeof *problems->ptr;
  void *grown = realloc(problems->ptr, size);
  if (grown == NULL) return;  // what has been found will do
  problems->ptr = grown;
  exports_portcullis_plugin_settings_check_problem_t *last = &problems->ptr[problems->len++];
  upload_inspector_string_dup_n(&last->key, (char *)key.ptr, key.len);
  upload_inspector_string_dup(&last->reason, reason);
}

// Asked when the plugin is loaded, so that a wrong setting is found by `portcullis check`. True when
// all is well, false for problems in *err, which the caller frees.
bool exports_portcullis_plugin_settings_check_check(problems *err) {
  *err = (problems){NULL, 0};
  string all = {(uint8_t *)"", 0};
  upload_inspector_list_string_t keys;
  if (portcullis_plugin_settings_keys(&all, &keys)) {
    // There are no settings: whatever is written there is a mistake.
    for (size_t at = 0; at < keys.len; at++)
      add_problem(err, keys.ptr[at], "there is no such setting");
    upload_inspector_list_string_free(&keys);
  }
  return err->len == 0;
}
