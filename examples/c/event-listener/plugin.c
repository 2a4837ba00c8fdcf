// Counts the events that the setting "events" names, in the plugin's own state, and notes each in
// the log.
//
// Who frees what: the arguments and whatever an import returns are ours; what we return is freed
// by the caller. An instance answers many calls, so each gives back what it took.

#include <stdlib.h>
#include <string.h>

#include "event_listener.h"

// The generated names are exact, and long.
typedef event_listener_string_t string;
typedef exports_portcullis_plugin_events_list_event_t list;
typedef exports_portcullis_plugin_events_failure_t failure;

static string text(const char *characters) {
  return (string){(uint8_t *)characters, strlen(characters)};
}

static bool equal(string one, string other) {
  return one.len == other.len && memcmp(one.ptr, other.ptr, one.len) == 0;
}

// JSON as the server writes it has no space between its parts, which is what makes the following
// short. Names of events and addresses need no escapes, so strings are taken as they stand.

// Where a string ends whose content begins at `at`: at its closing quote, or beyond the JSON.
static size_t closing_quote(string json, size_t at) {
  while (at < json.len && json.ptr[at] != '"') at += json.ptr[at] == '\\' ? 2 : 1;
  return at;
}

// The string that stands under this key of the object itself, not of one within.
static bool member(string object, const char *key, string *value) {
  int depth = 0;
  for (size_t at = 0; at < object.len; at++) {
    uint8_t character = object.ptr[at];
    if (character == '{' || character == '[') depth++;
    if (character == '}' || character == ']') depth--;
    if (character != '"') continue;

    string name = {object.ptr + at + 1, 0};
    size_t end = closing_quote(object, at + 1);
    name.len = end - (at + 1);
    at = end;
    // A colon follows after keys alone.
    if (depth != 1 || end + 3 >= object.len || memcmp(object.ptr + end, "\":\"", 3) != 0) continue;
    if (!equal(name, text(key))) continue;
    *value = (string){object.ptr + end + 3, closing_quote(object, end + 3) - (end + 3)};
    return end + 3 + value->len < object.len;
  }
  return false;
}

// Whether a list of strings has this one.
static bool has(string array, string wanted) {
  for (size_t at = 0; at < array.len; at++) {
    if (array.ptr[at] != '"') continue;
    size_t end = closing_quote(array, at + 1);
    if (equal((string){array.ptr + at + 1, end - (at + 1)}, wanted)) return true;
    at = end;
  }
  return false;
}

// snprintf would do, but bring all of stdio along, and WASI with it.
static void append(char *line, size_t size, string more) {
  size_t room = size - strlen(line) - 1;
  strncat(line, (char *)more.ptr, more.len < room ? more.len : room);
}

static void note(string name, string event) {
  char line[256] = "";
  append(line, sizeof line, name);
  string client;
  if (member(event, "client", &client)) {
    append(line, sizeof line, text(" from "));
    append(line, sizeof line, client);
  }
  string message = text(line);
  portcullis_plugin_log_write(PORTCULLIS_PLUGIN_LOG_LEVEL_INFO, &message);
}

static bool count(const list *events, string wanted, failure *err) {
  string name;
  // First all, then the rest: a broken event counts nothing.
  for (size_t at = 0; at < events->len; at++) {
    if (member(events->ptr[at], "event", &name)) continue;
    err->tag = PORTCULLIS_PLUGIN_TYPES_FAILURE_INTERNAL;
    event_listener_string_dup(&err->val.internal, "an event without a name");
    return false;
  }
  for (size_t at = 0; at < events->len; at++) {
    member(events->ptr[at], "event", &name);
    if (!has(wanted, name)) continue;
    portcullis_plugin_state_add(&name, 1, NULL);
    note(name, events->ptr[at]);
  }
  return true;
}

// True when all went well, false for a failure in *err.
bool exports_portcullis_plugin_events_notify(list *events, failure *err) {
  string key = text("events"), wanted = {0};
  bool set = portcullis_plugin_settings_get(&key, &wanted);
  bool well = count(events, wanted, err);
  if (set) event_listener_string_free(&wanted);
  exports_portcullis_plugin_events_list_event_free(events);
  return well;
}

typedef exports_portcullis_plugin_settings_check_list_problem_t problems;

static void add_problem(problems *problems, string key, const char *reason) {
  size_t size = (problems->len + 1) * sizeof *problems->ptr;
  void *grown = realloc(problems->ptr, size);
  if (grown == NULL) return;  // what has been found will do
  problems->ptr = grown;
  exports_portcullis_plugin_settings_check_problem_t *last = &problems->ptr[problems->len++];
  event_listener_string_dup_n(&last->key, (char *)key.ptr, key.len);
  event_listener_string_dup(&last->reason, reason);
}

// Whether JSON is a list of strings.
static bool is_list_of_names(string json) {
  if (json.len < 2 || json.ptr[0] != '[' || json.ptr[json.len - 1] != ']') return false;
  if (json.len == 2) return true;
  for (size_t at = 1; at < json.len; at += 2) {
    if (json.ptr[at] != '"') return false;
    at = closing_quote(json, at + 1);
    if (at + 1 >= json.len) return false;
    if (at + 2 == json.len) return true;
    if (json.ptr[at + 1] != ',') return false;
  }
  return false;
}

// Asked when the plugin is loaded, so that a wrong setting is found by `portcullis check`. True when
// all is well, false for problems in *err, which the caller frees.
bool exports_portcullis_plugin_settings_check_check(problems *err) {
  *err = (problems){NULL, 0};
  string all = {(uint8_t *)"", 0};
  event_listener_list_string_t keys;
  if (portcullis_plugin_settings_keys(&all, &keys)) {
    for (size_t at = 0; at < keys.len; at++)
      if (!equal(keys.ptr[at], text("events")))
        add_problem(err, keys.ptr[at], "there is no such setting");
    event_listener_list_string_free(&keys);
  }
  string key = text("events"), names;
  if (portcullis_plugin_settings_get(&key, &names)) {
    if (!is_list_of_names(names)) add_problem(err, key, "expected a list of names");
    event_listener_string_free(&names);
  }
  return err->len == 0;
}
