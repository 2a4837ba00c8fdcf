// A drop box: dot files do not exist, new files may be put into /incoming, and nothing else
// changes.
package main

import (
	"strings"

	exports "example/plugin/bindings/exports/export_portcullis_plugin_path_policy"
	checks "example/plugin/bindings/exports/export_portcullis_plugin_settings_check"
	_ "example/plugin/bindings/exports/wit_exports"
	. "example/plugin/bindings/imports/portcullis_plugin_path_policy"
	settings "example/plugin/bindings/imports/portcullis_plugin_settings"
	settingscheck "example/plugin/bindings/imports/portcullis_plugin_settings_check"
	types "example/plugin/bindings/imports/portcullis_plugin_types"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

func init() {
	exports.Decide = decideAll
	checks.Check = check
}

// Never called, but Go wants it.
func main() {}

func decideAll(session *Session, requests []Request) wit.Result[[]Decision, Failure] {
	defer session.Drop() // what is not given back here, the collector gives back at a bad time
	decisions := make([]Decision, 0, len(requests))
	for _, request := range requests {
		decisions = append(decisions, decide(request))
	}
	return wit.Ok[[]Decision, Failure](decisions)
}

func decide(request Request) Decision {
	// Paths come normalised: no "..", no empty parts, always from the root.
	if strings.Contains(request.Path, "/.") {
		return MakeDecisionHide()
	}
	switch request.Operation.Tag() {
	case Operation_See, Operation_List, Operation_Download:
		return MakeDecisionAllow()
	case Operation_Upload:
		isNew := request.Operation.Upload() == types.UploadMode_Create
		if isNew && strings.HasPrefix(request.Path, "/incoming/") {
			return MakeDecisionAllow()
		}
	}
	return MakeDecisionDeny("Only new files in /incoming")
}

// Asked when the plugin is loaded, so that a wrong setting is found by `portcullis check`.
func check() wit.Result[wit.Unit, []settingscheck.Problem] {
	var problems []settingscheck.Problem
	// There are no settings: whatever is written there is a mistake.
	if keys := settings.Keys(""); keys.IsSome() {
		for _, key := range keys.Some() {
			problems = append(problems, settingscheck.Problem{Key: key, Reason: "there is no such setting"})
		}
	}
	if len(problems) > 0 {
		return wit.Err[wit.Unit, []settingscheck.Problem](problems)
	}
	return wit.Ok[wit.Unit, []settingscheck.Problem](wit.Unit{})
}
