//! From a compiler's module to a component.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as PREVIEW1, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Encoding, Parser, Payload};
use wit_component::ComponentEncoder;

use super::contract;
use crate::plugin::{
    PluginKind,
    contract::{COMMAND, check_export},
};

/// Custom sections in which bindings say what a module implements begin with this.
const SECTION: &str = "component-type";

/// Makes a component of a module. The module itself says its world in a section that bindings for
/// Rust and C leave there; for others `world` says it. A module made for WASI preview 1 is adapted
/// to 0.2.
///
/// # Errors
/// For people: what is wrong with the module, and what to do.
pub fn componentize(module: &[u8], world: Option<&PluginKind>) -> Result<Vec<u8>, String> {
    let found = Module::read(module)?;
    let mut module = module.to_vec();
    match (found.described, world) {
        (true, _) => {}
        (false, Some(world)) => contract::embed(&mut module, world, found.checks)?,
        (false, None) => {
            return Err(format!(
                "the module does not say what it implements: name its world with --world; \
                 there are {}",
                PluginKind::ALL.map(|kind| kind.name).join(", ")
            ));
        }
    }
    if let Some(import) = found.strange {
        return Err(import);
    }
    let mut encoder = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .map_err(|error| explained(&format!("{error:#}"), world))?;
    if found.preview1 {
        encoder = encoder
            .adapter(PREVIEW1, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)
            .map_err(|error| explained(&format!("{error:#}"), world))?;
    }
    encoder
        .encode()
        .map_err(|error| explained(&format!("{error:#}"), world))
}

/// The relevant facts of a module.
struct Module {
    /// It says what it implements.
    described: bool,
    /// It imports WASI preview 1.
    preview1: bool,
    /// It looks at its settings.
    checks: bool,
    /// It imports what nobody has.
    strange: Option<String>,
}

impl Module {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut found = Self {
            described: false,
            preview1: false,
            checks: false,
            strange: None,
        };
        if !bytes.starts_with(b"\0asm") {
            return Err("this is not a WebAssembly module".into());
        }
        let check = check_export();
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(|error| format!("this is not a valid module: {error}"))? {
                Payload::Version {
                    encoding: Encoding::Component,
                    ..
                } => return Err("this is a component already: there is nothing to do".into()),
                Payload::CustomSection(section) => {
                    found.described |= section.name().starts_with(SECTION);
                }
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let import = import
                            .map_err(|error| format!("this is not a valid module: {error}"))?;
                        found.import(import.module, import.name);
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        let export = export
                            .map_err(|error| format!("this is not a valid module: {error}"))?;
                        if export.name == "_start" {
                            return Err(format!("the module {COMMAND}"));
                        }
                        found.checks |= export.name == check;
                    }
                }
                _ => {}
            }
        }
        Ok(found)
    }

    fn import(&mut self, module: &str, name: &str) {
        match module {
            PREVIEW1 => self.preview1 = true,
            "env" => {
                self.strange.get_or_insert(format!(
                    "the module imports the function `{name}` from `env`: the linker has not found \
                     it, so a library or a source file is missing"
                ));
            }
            "wasi_unstable" => {
                self.strange.get_or_insert(
                    "the module is made for a WASI that came before preview 1: its compiler is too \
                     old"
                    .into(),
                );
            }
            "gojs" | "go" => {
                self.strange.get_or_insert(
                    "the module is made for browsers: build it with GOOS=wasip1 GOARCH=wasm and \
                     -buildmode=c-shared"
                        .into(),
                );
            }
            _ => {}
        }
    }
}

/// The encoder's words, and what they mean.
fn explained(error: &str, world: Option<&PluginKind>) -> String {
    let lacks = error.contains("failed to find export") || error.contains("does not export");
    match world {
        Some(world) if lacks => format!("it is no {world}: {error}"),
        _ => format!("it cannot be made a component: {error}"),
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used)]
mod tests {
    use wasm_encoder::{
        CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection,
        ImportSection, MemorySection, MemoryType, Module, TypeSection, ValType,
    };

    use super::*;
    use crate::{config, plugin};

    /// The least that is an event-listener: it hears, and does nothing. `import` is the module and
    /// the name of a function that it imports besides.
    fn listener(import: Option<(&str, &str)>) -> Vec<u8> {
        built(import, false)
    }

    /// The same; or it crashes instead of hearing.
    fn built(import: Option<(&str, &str)>, crashes: bool) -> Vec<u8> {
        let mut types = TypeSection::new();
        types.ty().function([ValType::I32; 2], [ValType::I32]);
        types.ty().function([ValType::I32; 4], [ValType::I32]);
        let mut imports = ImportSection::new();
        if let Some((module, name)) = import {
            imports.import(module, name, EntityType::Function(0));
        }
        let first = imports.len();
        let mut functions = FunctionSection::new();
        functions.function(0).function(1);
        let mut memories = MemorySection::new();
        memories.memory(MemoryType {
            minimum: 1,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        let mut exports = ExportSection::new();
        exports
            .export("memory", ExportKind::Memory, 0)
            .export(
                "portcullis:plugin/events@0.1.0#notify",
                ExportKind::Func,
                first,
            )
            .export("cabi_realloc", ExportKind::Func, first + 1);
        let mut code = CodeSection::new();
        for address in [16, 64] {
            let mut function = Function::new([]);
            if crashes && address == 16 {
                function.instructions().unreachable();
            }
            function.instructions().i32_const(address).end();
            code.function(&function);
        }
        let mut module = Module::new();
        module
            .section(&types)
            .section(&imports)
            .section(&functions)
            .section(&memories)
            .section(&exports)
            .section(&code);
        module.finish()
    }

    #[test]
    fn a_module_of_a_named_world_becomes_a_component() {
        let component = componentize(&listener(None), Some(&PluginKind::EVENT_LISTENER)).unwrap();
        let report = plugin::inspect(&component).unwrap();
        assert_eq!(report.exports, ["portcullis:plugin/events@0.1.0"]);
    }

    #[test]
    fn a_module_that_says_itself_what_it_is_needs_no_world() {
        let mut module = listener(None);
        contract::embed(&mut module, &PluginKind::EVENT_LISTENER, false).unwrap();
        assert!(componentize(&module, None).is_ok());
    }

    #[test]
    fn preview_1_is_adapted() {
        let module = listener(Some(("wasi_snapshot_preview1", "random_get")));
        let component = componentize(&module, Some(&PluginKind::EVENT_LISTENER)).unwrap();
        let report = plugin::inspect(&component).unwrap();
        let imports: Vec<String> = report.imports.into_iter().map(|(name, _)| name).collect();
        assert!(
            imports.iter().any(|name| name.starts_with("wasi:random/")),
            "{imports:?}"
        );
    }

    /// A module that is a program as well: with these names exported besides.
    fn program(names: &[&str]) -> Vec<u8> {
        let module = listener(None);
        let mut program = Module::new();
        for payload in Parser::new(0).parse_all(&module) {
            match payload.unwrap() {
                Payload::ExportSection(exports) => {
                    let mut section = ExportSection::new();
                    for export in exports {
                        let export = export.unwrap();
                        let kind = match export.kind {
                            wasmparser::ExternalKind::Memory => ExportKind::Memory,
                            _ => ExportKind::Func,
                        };
                        section.export(export.name, kind, export.index);
                    }
                    for name in names {
                        section.export(name, ExportKind::Func, 0);
                    }
                    program.section(&section);
                }
                payload => {
                    if let Some((id, range)) = payload.as_section() {
                        let data = &module[range];
                        program.section(&wasm_encoder::RawSection { id, data });
                    }
                }
            }
        }
        program.finish()
    }

    #[test]
    fn regression_a_program_is_no_plugin() {
        let error =
            componentize(&program(&["_start"]), Some(&PluginKind::EVENT_LISTENER)).unwrap_err();
        assert!(error.contains("-buildmode=c-shared"), "{error}");
    }

    /// As a component does whose runtime was never started, or whose source lacks the function.
    #[tokio::test]
    async fn regression_what_crashes_at_each_call_is_not_loaded() {
        let place = tempfile::tempdir().unwrap();
        let cache = place.path().join("cache");
        let host = plugin::Host::new(&config::PluginHost::default(), &cache, None).unwrap();
        for crashes in [false, true] {
            let module = built(None, crashes);
            let component = componentize(&module, Some(&PluginKind::EVENT_LISTENER)).unwrap();
            let file = place.path().join("plugin.wasm");
            std::fs::write(&file, component).unwrap();
            let configured = config::Plugin {
                name: "test".into(),
                component: file.to_str().unwrap().into(),
                sha256: None,
                on_failure: crate::types::OnFailure::Deny,
                instances: None,
                settings: toml::Table::new(),
                limits: config::PluginLimits::default(),
                grants: config::Grants::default(),
            };
            let loaded = host.gates(&[configured], place.path()).await;
            match loaded.err() {
                None => assert!(!crashes),
                Some(error) => assert!(
                    crashes && error.text.contains("it crashes at each call"),
                    "{error}"
                ),
            }
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let (no, yes) = (
            Some(&PluginKind::PATH_GUARD),
            Some(&PluginKind::EVENT_LISTENER),
        );
        let component = componentize(&listener(None), yes).unwrap();
        for (bytes, world, said) in [
            (
                listener(None),
                None,
                "--world; there are authenticator, path-guard",
            ),
            (listener(None), no, "it is no path-guard"),
            (listener(Some(("env", "strlcpy"))), yes, "`strlcpy`"),
            (listener(Some(("gojs", "x"))), yes, "GOOS=wasip1"),
            (component, yes, "a component already"),
            (b"int main() {}".to_vec(), yes, "not a WebAssembly module"),
            (b"\0asm\x01\0\0\0\x01".to_vec(), yes, "not a valid module"),
        ] {
            let text = componentize(&bytes, world).unwrap_err();
            assert!(text.contains(said), "{text}");
        }
    }
}
