// Package export_portcullis_plugin_authentication is where the generated code looks for what main.go has.
package export_portcullis_plugin_authentication

import (
	. "example/plugin/bindings/imports/portcullis_plugin_authentication"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

// Authenticate is set by main.go before the server calls anything.
var Authenticate func(*Session, Credentials) wit.Result[Outcome, Failure]
