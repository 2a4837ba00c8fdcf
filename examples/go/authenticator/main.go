// Lets one user in: "demo", with the password whose hash is in the settings, and with a one-time
// code on top where the settings have one.
package main

import (
	exports "example/plugin/bindings/exports/export_portcullis_plugin_authentication"
	checks "example/plugin/bindings/exports/export_portcullis_plugin_settings_check"
	_ "example/plugin/bindings/exports/wit_exports"
	. "example/plugin/bindings/imports/portcullis_plugin_authentication"
	log "example/plugin/bindings/imports/portcullis_plugin_log"
	passwords "example/plugin/bindings/imports/portcullis_plugin_passwords"
	settings "example/plugin/bindings/imports/portcullis_plugin_settings"
	settingscheck "example/plugin/bindings/imports/portcullis_plugin_settings_check"
	types "example/plugin/bindings/imports/portcullis_plugin_types"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

type Answer = wit.Result[Outcome, Failure]

func init() {
	exports.Authenticate = authenticate
	checks.Check = check
}

// Never called, but Go wants it.
func main() {}

func authenticate(session *Session, credentials Credentials) Answer {
	defer session.Drop() // what is not given back here, the collector gives back at a bad time
	if credentials.User != "demo" {
		return answer(MakeOutcomeAbstain()) // not ours: the next plugin may know the user
	}
	if credentials.Password.IsNone() {
		return answer(MakeOutcomeDeny("no password"))
	}

	// A failure is not a denial: it says that nobody can tell, and the client may try again.
	hash := settings.Get("password-hash")
	if hash.IsNone() {
		return fail("the setting password-hash is missing")
	}
	right := passwords.Verify(credentials.Password.Some(), hash.Some())
	if right.IsErr() {
		return fail(right.Err())
	}
	if !right.Ok() {
		return answer(MakeOutcomeDeny("wrong password"))
	}

	if code := settings.Get("code"); code.IsSome() {
		if credentials.OneTimeCode.IsNone() {
			return answer(MakeOutcomeChallenge("One-time code, please"))
		}
		if credentials.OneTimeCode.Some() != code.Some() {
			return answer(MakeOutcomeDeny("wrong code"))
		}
	}

	log.Write(log.Level_Info, "demo logs in from "+session.ClientAddress())

	account := types.MakeAccount("/demo")
	account.SetPermissions(types.Permissions_List | types.Permissions_Download | types.Permissions_Upload)
	account.SetGroups([]string{"users"})
	account.SetGreeting("Welcome to the demonstration")
	return answer(MakeOutcomeAccept(account))
}

func answer(outcome Outcome) Answer { return wit.Ok[Outcome, Failure](outcome) }

func fail(reason string) Answer {
	return wit.Err[Outcome, Failure](types.MakeFailureInternal(reason))
}

// Asked when the plugin is loaded, so that a wrong setting is found by `portcullis check`.
func check() wit.Result[wit.Unit, []settingscheck.Problem] {
	var problems []settingscheck.Problem
	problem := func(key, reason string) {
		problems = append(problems, settingscheck.Problem{Key: key, Reason: reason})
	}
	if keys := settings.Keys(""); keys.IsSome() {
		for _, key := range keys.Some() {
			if key != "password-hash" && key != "code" {
				problem(key, "there is no such setting")
			}
		}
	}
	if settings.Get("password-hash").IsNone() {
		problem("password-hash", "needed")
	}
	if len(problems) > 0 {
		return wit.Err[wit.Unit, []settingscheck.Problem](problems)
	}
	return wit.Ok[wit.Unit, []settingscheck.Problem](wit.Unit{})
}
