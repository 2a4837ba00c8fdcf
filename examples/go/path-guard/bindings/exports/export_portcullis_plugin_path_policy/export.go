// Package export_portcullis_plugin_path_policy is where the generated code looks for what main.go has.
package export_portcullis_plugin_path_policy

import (
	. "example/plugin/bindings/imports/portcullis_plugin_path_policy"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

// Decide is set by main.go before the server calls anything.
var Decide func(*Session, []Request) wit.Result[[]Decision, Failure]
