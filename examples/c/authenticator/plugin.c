// Lets one user in: "demo", with the password whose hash is in the settings, and with a one-time
// code on top where the settings have one.
//
// Who frees what: the arguments and whatever an import returns are ours; what we return is freed
// by the caller. The instance ends with the call, so this file leaves its little to that end.

#include <stdlib.h>
#include <string.h>

#include "authenticator.h"

// The generated names are exact, and long.
typedef authenticator_string_t string;
typedef exports_portcullis_plugin_authentication_credentials_t credentials;
typedef exports_portcullis_plugin_authentication_outcome_t outcome;
typedef exports_portcullis_plugin_authentication_failure_t failure;
typedef portcullis_plugin_types_own_session_t session;
#define OUTCOME(name) EXPORTS_PORTCULLIS_PLUGIN_AUTHENTICATION_OUTCOME_##name
#define PERMISSIONS(name) PORTCULLIS_PLUGIN_TYPES_PERMISSIONS_##name

static string text(const char *characters) {
  return (string){(uint8_t *)characters, strlen(characters)};
}

static bool equal(string one, string other) {
  return one.len == other.len && memcmp(one.ptr, other.ptr, one.len) == 0;
}

// A returned string has to be on the heap: the caller frees it.
static bool answer(outcome *answer, uint8_t tag, const char *reason) {
  answer->tag = tag;
  authenticator_string_dup(&answer->val.deny, reason);
  return true;
}

static bool fail(failure *failure, string reason) {
  failure->tag = PORTCULLIS_PLUGIN_TYPES_FAILURE_INTERNAL;
  authenticator_string_dup_n(&failure->val.internal, (char *)reason.ptr, reason.len);
  return false;
}

// snprintf would do, but bring all of stdio along, and WASI with it.
static void append(char *line, size_t size, string more) {
  size_t room = size - strlen(line) - 1;
  strncat(line, (char *)more.ptr, more.len < room ? more.len : room);
}

static void log_login(session session) {
  string address;
  portcullis_plugin_types_method_session_client_address(
      portcullis_plugin_types_borrow_session(session), &address);
  char line[128] = "demo logs in from ";
  append(line, sizeof line, address);
  string message = text(line);
  portcullis_plugin_log_write(PORTCULLIS_PLUGIN_LOG_LEVEL_INFO, &message);
}

static portcullis_plugin_types_own_account_t demo_account(void) {
  string home = text("/demo"), group = text("users"), greeting = text("Welcome to the demonstration");
  portcullis_plugin_types_own_account_t account = portcullis_plugin_types_constructor_account(&home);
  portcullis_plugin_types_borrow_account_t self = portcullis_plugin_types_borrow_account(account);
  portcullis_plugin_types_method_account_set_permissions(
      self, PERMISSIONS(LIST) | PERMISSIONS(DOWNLOAD) | PERMISSIONS(UPLOAD));
  portcullis_plugin_types_method_account_set_groups(self, &(authenticator_list_string_t){&group, 1});
  portcullis_plugin_types_method_account_set_greeting(self, &greeting);
  return account;
}

// True for an outcome in *ret, false for a failure in *err.
bool exports_portcullis_plugin_authentication_authenticate(session session, credentials *given,
                                                           outcome *ret, failure *err) {
  if (!equal(given->user, text("demo"))) {
    ret->tag = OUTCOME(ABSTAIN);  // not ours: the next plugin may know the user
    return true;
  }
  if (!given->password.is_some) return answer(ret, OUTCOME(DENY), "no password");

  // A failure is not a denial: it says that nobody can tell, and the client may try again.
  string key = text("password-hash"), hash, reason;
  if (!portcullis_plugin_settings_get(&key, &hash))
    return fail(err, text("the setting password-hash is missing"));
  bool right;
  if (!portcullis_plugin_passwords_verify(&given->password.val, &hash, &right, &reason))
    return fail(err, reason);
  if (!right) return answer(ret, OUTCOME(DENY), "wrong password");

  string code;
  key = text("code");
  if (portcullis_plugin_settings_get(&key, &code)) {
    if (!given->one_time_code.is_some)
      return answer(ret, OUTCOME(CHALLENGE), "One-time code, please");
    if (!equal(given->one_time_code.val, code)) return answer(ret, OUTCOME(DENY), "wrong code");
  }

  log_login(session);
  ret->tag = OUTCOME(ACCEPT);
  ret->val.accept = demo_account();  // the handle goes to the server, and is ours no more
  return true;
}

typedef exports_portcullis_plugin_settings_check_list_problem_t problems;

static void add_problem(problems *problems, string key, const char *reason) {
  size_t size = (problems->len + 1) * sizeof *problems->ptr;
  void *grown = realloc(problems->ptr, size);
  if (grown == NULL) return;  // what has been found will do
  problems->ptr = grown;
  exports_portcullis_plugin_settings_check_problem_t *last = &problems->ptr[problems->len++];
  authenticator_string_dup_n(&last->key, (char *)key.ptr, key.len);
  authenticator_string_dup(&last->reason, reason);
}

// Asked when the plugin is loaded, so that a wrong setting is found by `portcullis check`. True when
// all is well, false for problems in *err, which the caller frees.
bool exports_portcullis_plugin_settings_check_check(problems *err) {
  *err = (problems){NULL, 0};
  string all = {(uint8_t *)"", 0};
  authenticator_list_string_t keys;
  if (portcullis_plugin_settings_keys(&all, &keys)) {
    for (size_t at = 0; at < keys.len; at++)
      if (!equal(keys.ptr[at], text("password-hash")) && !equal(keys.ptr[at], text("code")))
        add_problem(err, keys.ptr[at], "there is no such setting");
    authenticator_list_string_free(&keys);
  }
  string needed = text("password-hash"), hash;
  if (portcullis_plugin_settings_get(&needed, &hash))
    authenticator_string_free(&hash);
  else
    add_problem(err, needed, "needed");
  return err->len == 0;
}
