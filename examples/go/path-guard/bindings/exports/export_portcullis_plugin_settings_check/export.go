// Package export_portcullis_plugin_settings_check is where the generated code looks for what main.go has.
package export_portcullis_plugin_settings_check

import (
	. "example/plugin/bindings/imports/portcullis_plugin_settings_check"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

// Check is set by main.go before the server calls anything.
var Check func() wit.Result[wit.Unit, []Problem]
