module example/plugin

go 1.25

require go.bytecodealliance.org/pkg v0.4.0

// What the generated bindings need lies here: nothing is downloaded.
replace go.bytecodealliance.org/pkg => ./bindings/pkg
