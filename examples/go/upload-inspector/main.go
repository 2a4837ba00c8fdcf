// Rejects every upload that contains the EICAR test file, wherever in it.
package main

import (
	"bytes"
	"slices"

	checks "example/plugin/bindings/exports/export_portcullis_plugin_settings_check"
	exports "example/plugin/bindings/exports/export_portcullis_plugin_upload_inspection"
	_ "example/plugin/bindings/exports/wit_exports"
	settings "example/plugin/bindings/imports/portcullis_plugin_settings"
	settingscheck "example/plugin/bindings/imports/portcullis_plugin_settings_check"
	. "example/plugin/bindings/imports/portcullis_plugin_upload_inspection"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

// Written backwards, so that no scanner takes this plugin itself for the test file.
const racie = `*H+H$!ELIF-TSET-SURIVITNA-DRADNATS-RACIE$}7)CC7)^P(45XZP\4[PA@%P!O5X`
const chunkSize = 256 * 1024

func init() {
	exports.Inspect = inspect
	checks.Check = check
}

// Never called, but Go wants it.
func main() {}

func inspect(session *Session, upload *Upload) wit.Result[Verdict, Failure] {
	defer session.Drop() // what is not given back here, the collector gives back at a bad time
	defer upload.Drop()

	signature := []byte(racie)
	slices.Reverse(signature)
	overlap := len(signature) - 1

	// The signature may lie across two chunks: the end of what came before, with the start of
	// what comes next, is searched as well.
	var border []byte
	for {
		read := upload.Read(chunkSize)
		if read.IsErr() || read.Ok().IsNone() {
			// The end of the file, or an interruption, after which the server ignores the verdict.
			return answer(MakeVerdictAccept())
		}
		chunk := read.Ok().Some()
		border = append(border, chunk[:min(overlap, len(chunk))]...)
		if bytes.Contains(border, signature) || bytes.Contains(chunk, signature) {
			return answer(MakeVerdictReject("EICAR test file"))
		}
		if len(chunk) >= overlap {
			border = chunk
		}
		border = bytes.Clone(border[max(0, len(border)-overlap):])
	}
}

func answer(verdict Verdict) wit.Result[Verdict, Failure] { return wit.Ok[Verdict, Failure](verdict) }

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
