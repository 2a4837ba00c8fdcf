// Counts the events that the setting "events" names, in the plugin's own state, and notes each in
// the log.
package main

import (
	"encoding/json"
	"slices"

	exports "example/plugin/bindings/exports/export_portcullis_plugin_events"
	checks "example/plugin/bindings/exports/export_portcullis_plugin_settings_check"
	_ "example/plugin/bindings/exports/wit_exports"
	. "example/plugin/bindings/imports/portcullis_plugin_events"
	log "example/plugin/bindings/imports/portcullis_plugin_log"
	settings "example/plugin/bindings/imports/portcullis_plugin_settings"
	settingscheck "example/plugin/bindings/imports/portcullis_plugin_settings_check"
	state "example/plugin/bindings/imports/portcullis_plugin_state"
	types "example/plugin/bindings/imports/portcullis_plugin_types"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

// What matters here of an event; it has more.
type happened struct {
	Event  string `json:"event"`
	Client string `json:"client"`
}

func init() {
	exports.Notify = notify
	checks.Check = check
}

// Never called, but Go wants it.
func main() {}

func notify(events []Event) wit.Result[wit.Unit, Failure] {
	if err := count(events); err != nil {
		return wit.Err[wit.Unit, Failure](types.MakeFailureInternal(err.Error()))
	}
	return wit.Ok[wit.Unit, Failure](wit.Unit{})
}

func count(events []Event) error {
	var wanted []string
	if names := settings.Get("events"); names.IsSome() {
		if err := json.Unmarshal([]byte(names.Some()), &wanted); err != nil {
			return err
		}
	}
	// First all, then the rest: a broken event counts nothing.
	all := make([]happened, len(events))
	for at, event := range events {
		if err := json.Unmarshal([]byte(event), &all[at]); err != nil {
			return err
		}
	}
	for _, one := range all {
		if !slices.Contains(wanted, one.Event) {
			continue
		}
		state.Add(one.Event, 1, wit.None[uint32]())
		if one.Client != "" {
			log.Write(log.Level_Info, one.Event+" from "+one.Client)
		} else {
			log.Write(log.Level_Info, one.Event)
		}
	}
	return nil
}

// Asked when the plugin is loaded, so that a wrong setting is found by `portcullis check`.
func check() wit.Result[wit.Unit, []settingscheck.Problem] {
	var problems []settingscheck.Problem
	problem := func(key, reason string) {
		problems = append(problems, settingscheck.Problem{Key: key, Reason: reason})
	}
	if keys := settings.Keys(""); keys.IsSome() {
		for _, key := range keys.Some() {
			if key != "events" {
				problem(key, "there is no such setting")
			}
		}
	}
	var names []string
	if events := settings.Get("events"); events.IsSome() {
		if json.Unmarshal([]byte(events.Some()), &names) != nil {
			problem("events", "expected a list of names")
		}
	}
	if len(problems) > 0 {
		return wit.Err[wit.Unit, []settingscheck.Problem](problems)
	}
	return wit.Ok[wit.Unit, []settingscheck.Problem](wit.Unit{})
}
