// Package export_portcullis_plugin_upload_inspection is where the generated code looks for what main.go has.
package export_portcullis_plugin_upload_inspection

import (
	. "example/plugin/bindings/imports/portcullis_plugin_upload_inspection"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

// Inspect is set by main.go before the server calls anything.
var Inspect func(*Session, *Upload) wit.Result[Verdict, Failure]
