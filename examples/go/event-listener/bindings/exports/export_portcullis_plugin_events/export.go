// Package export_portcullis_plugin_events is where the generated code looks for what main.go has.
package export_portcullis_plugin_events

import (
	. "example/plugin/bindings/imports/portcullis_plugin_events"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

// Notify is set by main.go before the server calls anything.
var Notify func([]Event) wit.Result[wit.Unit, Failure]
