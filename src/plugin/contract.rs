//! Whether a component fits the contract, and what to tell its author or operator when it does not.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use wasmtime::{Config, Engine, OptLevel, component::Component};

use wasmparser::{Parser, Payload};
use wit_component::DecodedWasm;
use wit_parser::WorldKey;

use super::{
    LoadError,
    import_policy::{Name, PACKAGE, Requirement},
    kind::PluginKind,
};
use crate::config::Grants;

/// The contract that this server speaks.
pub const VERSION: &str = "0.1.0";
/// The interface that a component may export besides that of its kind.
const CHECK: &str = "settings-check";

/// The function by which a module looks at its settings.
#[must_use]
pub fn check_export() -> String {
    format!("{PACKAGE}/{CHECK}@{VERSION}#check")
}

/// A component as the contract sees it.
#[derive(Clone, Debug)]
pub struct Report {
    /// The kind of plugin; `None` when it fits no world.
    pub kind: Option<&'static PluginKind>,
    /// The kinds that it is of besides.
    pub besides: Vec<&'static PluginKind>,
    /// Whether it looks at its settings when it is loaded.
    pub checks: bool,
    /// The version of the contract that it was built for.
    pub contract: Option<String>,
    /// The imports, and the requirement of each.
    pub imports: Vec<(String, Requirement)>,
    /// The exports.
    pub exports: Vec<String>,
    /// Bytes.
    pub size: usize,
    /// The digest that `sha256` in the configuration pins.
    pub sha256: String,
    /// The languages and tools that made it, as far as it tells: "Rust 1.96.0".
    pub made_by: Vec<String>,
    /// Why this server does not load it, for people.
    pub problems: Vec<String>,
}

impl Report {
    /// The lines that a configuration needs for it, and as comments those that it may need.
    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<(&str, bool)> = Vec::new();
        for (line, needed) in self.imports.iter().filter_map(|(_, grant)| grant.line()) {
            match lines.iter_mut().find(|(known, _)| *known == line) {
                Some((_, before)) => *before |= needed,
                None => lines.push((line, needed)),
            }
        }
        lines.sort_by_key(|(_, needed)| !needed);
        let lines = lines.into_iter().map(|(line, needed)| match needed {
            true => line.to_owned(),
            false => format!("# {line}"),
        });
        lines.collect()
    }

    /// The lines for imports that these grants leave empty, each with the imports.
    #[must_use]
    pub fn nothing_granted(&self, grants: &Grants) -> Vec<(&'static str, Vec<&str>)> {
        let mut lines: Vec<(&str, Vec<&str>)> = Vec::new();
        for (import, need) in self
            .imports
            .iter()
            .filter(|(_, need)| need.is_empty(grants))
        {
            let Some((line, _)) = need.line() else {
                continue;
            };
            match lines.iter_mut().find(|(known, _)| *known == line) {
                Some((_, imports)) => imports.push(import),
                None => lines.push((line, vec![import])),
            }
        }
        lines
    }

    /// Why these grants do not do, with the lines to add.
    #[must_use]
    pub fn ungranted(&self, grants: &Grants) -> Option<String> {
        let missing = |wanted: Requirement| {
            let mut needs = self.imports.iter().map(|(_, need)| *need);
            needs.any(|need| need == wanted && need.is_missing(grants))
        };
        let of = |wanted: &[Requirement]| -> Vec<&str> {
            let imports = self.imports.iter();
            let imports = imports.filter(|(_, need)| wanted.contains(need));
            imports.map(|(name, _)| name.as_str()).collect()
        };
        let (mut whats, mut lines) = (Vec::new(), Vec::new());
        if missing(Requirement::Http) {
            let names = of(&[Requirement::Http]).join(", ");
            whats.push(format!("it imports {names} to make HTTP requests"));
            lines.extend(Requirement::Http.line().map(|(line, _)| line.to_owned()));
        }
        if missing(Requirement::Tls) {
            // TLS goes over the TCP connections that the line grants, which are what it is about.
            let names = of(&[Requirement::Tcp, Requirement::Tls]).join(", ");
            whats.push(format!(
                "it imports {names} to connect to services by TCP, in the clear or by TLS"
            ));
            lines.extend(Requirement::Tcp.line().map(|(line, _)| line.to_owned()));
            if Requirement::Dns.is_empty(grants) && !of(&[Requirement::Dns]).is_empty() {
                lines.push("dns = true  # where HOST is a name".to_owned());
            }
        }
        (!whats.is_empty()).then(|| {
            format!(
                "{}, which it is not granted: grant it below its [[plugin]]\n    \
                [plugin.grants]\n    {}",
                whats.join("; "),
                lines.join("\n    ")
            )
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self
            .kind
            .map_or_else(|| "none".to_owned(), |kind| kind.to_string());
        write!(formatter, "kind      {kind}")?;
        for besides in self.besides.iter().filter_map(|kind| kind.besides) {
            write!(formatter, ", and {besides}")?;
        }
        writeln!(formatter)?;
        let contract = self.contract.as_deref().unwrap_or("none");
        writeln!(
            formatter,
            "contract  {contract} (this server speaks {VERSION})"
        )?;
        writeln!(formatter, "size      {} bytes", self.size)?;
        writeln!(formatter, "sha256    {}", self.sha256)?;
        if !self.made_by.is_empty() {
            writeln!(formatter, "made by   {}", self.made_by.join(", "))?;
        }
        for export in &self.exports {
            writeln!(formatter, "exports   {export}")?;
        }
        writeln!(
            formatter,
            "settings  {}",
            match self.checks {
                true => "looked at when it is loaded",
                false => "not looked at when it is loaded: it does not export settings-check",
            }
        )?;
        for (import, grant) in &self.imports {
            writeln!(formatter, "imports   {import}: {grant}")?;
        }
        let lines = self.lines();
        if !lines.is_empty() {
            writeln!(formatter, "grants    [plugin.grants]")?;
        }
        for line in lines {
            writeln!(formatter, "          {line}")?;
        }
        for problem in &self.problems {
            writeln!(formatter, "problem   {problem}")?;
        }
        Ok(())
    }
}

/// Looks at a component without running or compiling any of it.
///
/// # Errors
/// When the bytes are no component at all.
pub fn inspect(bytes: &[u8]) -> Result<Report, LoadError> {
    is_component(bytes).map_err(LoadError::component)?;
    let (imports, exports) = match decoded(bytes) {
        Some(names) => names,
        None => {
            // It cannot be said in WIT; or there is an error, which the engine tells best.
            let mut config = Config::new();
            config
                .wasm_component_model(true)
                .cranelift_opt_level(OptLevel::None);
            let component = Engine::new(&config).and_then(|engine| Component::new(&engine, bytes));
            let component = component.map_err(|error| LoadError::component(invalid(&error)))?;
            names(&component)
        }
    };
    Ok(report(imports, exports, bytes, &PluginKind::ALL))
}

type Names = (Vec<String>, Vec<String>);

/// The names of imports and exports as the component's types have them.
fn decoded(bytes: &[u8]) -> Option<Names> {
    let DecodedWasm::Component(resolve, world) = wit_component::decode(bytes).ok()? else {
        return None;
    };
    let world = resolve.worlds.get(world)?;
    let name = |key: &WorldKey| resolve.name_world_key(key);
    let imports = world.imports.keys().map(name).collect();
    Some((imports, world.exports.keys().map(name).collect()))
}

fn names(component: &Component) -> Names {
    let (engine, of) = (component.engine(), component.component_type());
    let imports = of.imports(engine).map(|(name, _)| name.to_owned());
    let exports = of.exports(engine).map(|(name, _)| name.to_owned());
    (imports.collect(), exports.collect())
}

/// Tells apart what people take for a component.
pub(super) fn is_component(bytes: &[u8]) -> Result<(), String> {
    match bytes.get(..8) {
        Some(b"\0asm\x0d\0\x01\0") => Ok(()),
        Some(b"\0asm\x01\0\0\0") => Err(
            "this is a WebAssembly module, not a component: make it one \
            with `portcullis plugin componentize`"
                .into(),
        ),
        Some([b'\0', b'a', b's', b'm', ..]) => {
            Err("this is WebAssembly of a version that this server does not know".into())
        }
        _ => Err("this is not a WebAssembly component".into()),
    }
}

/// The error for bytes that the engine does not take.
pub(super) fn invalid(error: &wasmtime::Error) -> String {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    let causes = causes.join(": ");
    match causes.contains(EXECUTABLE) {
        // The system is to blame, and not the component.
        true => format!(
            "its compiled code cannot be run, since the system does not let this process make memory \
             executable, which plugins take: MemoryDenyWriteExecute= of a systemd unit forbids it, or \
             SELinux (execmem), or another sandbox; plugin-host.engine = \"pulley\" does without ({causes})"
        ),
        false => format!("this is not a valid component: {causes}"),
    }
}

/// wasmtime's words where the system refuses to make memory executable.
const EXECUTABLE: &str = "make memory executable";

/// Compares a compiled component with the contract.
pub(super) fn examine(
    component: &Component,
    bytes: &[u8],
    kinds: &[&'static PluginKind],
) -> Report {
    let (imports, exports) = names(component);
    report(imports, exports, bytes, kinds)
}

fn report(
    imports: Vec<String>,
    exports: Vec<String>,
    bytes: &[u8],
    kinds: &[&'static PluginKind],
) -> Report {
    let imports: Vec<(String, Requirement)> = imports
        .into_iter()
        .map(|name| (Requirement::needed(&name), name))
        .map(|(grant, name)| (name, grant))
        .collect();
    let names = imports.iter().map(|(name, _)| name).chain(&exports);
    let versions: Vec<(&str, &str)> = names
        .filter_map(|name| Some((name.as_str(), Name::parse(name)?)))
        .filter(|(_, parsed)| parsed.package == PACKAGE)
        .filter_map(|(name, parsed)| Some((name, parsed.version?)))
        .collect();
    let foreign = versions.iter().find(|(_, version)| !compatible(version));
    let contract = foreign
        .or(versions.first())
        .map(|(_, version)| (*version).to_owned());

    let mut problems = Vec::new();
    if let Some((name, version)) = foreign {
        problems.push(format!(
            "it is built for version {version} of the contract ({name}), and this server speaks \
             {VERSION}: build it with the wit/ of this server, or take the server that it is made for"
        ));
    }
    let unknown = imports
        .iter()
        .filter(|(_, grant)| *grant == Requirement::Unknown);
    // Imports of another version of the contract have been spoken of.
    let unknown = unknown.filter(|(name, _)| foreign.is_none() || !name.starts_with(PACKAGE));
    let unknown: Vec<&str> = unknown.map(|(name, _)| name.as_str()).collect();
    if !unknown.is_empty() {
        problems.push(format!(
            "it imports {}, which this server does not have: plugins import what \
             {PACKAGE}@{VERSION} says, and WASI 0.2",
            unknown.join(", ")
        ));
    }
    let (kind, besides) = match kind(&exports, kinds) {
        Ok((kind, besides)) => (Some(kind), besides),
        Err(problem) => {
            problems.push(problem);
            (None, Vec::new())
        }
    };
    if is_command(bytes) {
        problems.push(format!("a module of it {COMMAND}"));
    }
    let sha256 = HEXLOWER.encode(digest(&SHA256, bytes).as_ref());
    let checks = exports.iter().any(|export| exported(export) == Some(CHECK));
    Report {
        kind,
        besides,
        checks,
        contract,
        imports,
        exports,
        size: bytes.len(),
        sha256,
        made_by: super::producers::of(bytes),
        problems,
    }
}

type Kinds = (&'static PluginKind, Vec<&'static PluginKind>);

/// The kind of a component, and those that it is of besides.
fn kind(exports: &[String], kinds: &[&'static PluginKind]) -> Result<Kinds, String> {
    let of = |kind: &&PluginKind| {
        let interfaces = &mut exports.iter().filter_map(|export| exported(export));
        interfaces.any(|interface| interface == kind.interface)
    };
    let found: Vec<_> = kinds.iter().copied().filter(of).collect();
    match found.as_slice() {
        [] => Err(nothing(exports, kinds)),
        [kind] => Ok((kind, Vec::new())),
        [kind, besides @ ..] if besides.iter().all(|kind| kind.besides.is_some()) => {
            Ok((kind, besides.to_vec()))
        }
        kinds => Err(format!(
            "it is {} at once: make it one component for each",
            joined(kinds, " and ", |kind| kind.to_string())
        )),
    }
}

fn nothing(exports: &[String], kinds: &[&'static PluginKind]) -> String {
    let wanted = joined(kinds, ", ", |kind| {
        format!("{PACKAGE}/{}@{VERSION} ({kind})", kind.interface)
    });
    match exports {
        [] => format!("it exports nothing; a plugin exports one of {wanted}"),
        exports => format!(
            "it exports {}; a plugin exports one of {wanted}",
            exports.join(", ")
        ),
    }
}

fn joined(kinds: &[&PluginKind], by: &str, text: impl Fn(&PluginKind) -> String) -> String {
    let texts: Vec<String> = kinds.iter().map(|kind| text(kind)).collect();
    texts.join(by)
}

/// The error of a module that is a program.
pub const COMMAND: &str = "is a program (it exports `_start`) and no library, so its language's \
    runtime would never be started: build it for Go with -buildmode=c-shared, for C with \
    -mexec-model=reactor, for Rust as a cdylib";

/// Whether a module within the component is a program: what a component's functions call would not
/// have been started. A library may have a `_start` that nobody calls besides its `_initialize`.
fn is_command(bytes: &[u8]) -> bool {
    // For each module that is open: whether it exports the one and the other.
    let mut open = vec![(false, false)];
    for payload in Parser::new(0).parse_all(bytes) {
        match payload {
            Ok(Payload::Version { .. }) => open.push((false, false)),
            Ok(Payload::ExportSection(exports)) => {
                let names = exports.into_iter().filter_map(Result::ok);
                if let Some((start, initialize)) = open.last_mut() {
                    for export in names {
                        *start |= export.name == "_start";
                        *initialize |= export.name == "_initialize";
                    }
                }
            }
            Ok(Payload::End(_)) => {
                if let Some((true, false)) = open.pop() {
                    return true;
                }
            }
            Ok(_) => {}
            Err(_) => return false,
        }
    }
    false
}

/// The interface of the contract that an export is.
pub(super) fn exported(export: &str) -> Option<&str> {
    Name::parse(export)
        .filter(|name| name.package == PACKAGE)
        .map(|name| name.interface)
}

/// Versions 0.1.x differ by what was added, and the linker says what it misses.
fn compatible(version: &str) -> bool {
    let series = |version: &str| {
        version
            .rsplit_once('.')
            .map(|(series, _)| series.to_owned())
    };
    series(version) == series(VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_contracts() {
        let contract = include_str!("../../wit/types.wit");
        assert!(contract.starts_with(&format!("package {PACKAGE}@{VERSION};")));
    }

    #[test]
    fn what_is_no_component_is_told_apart() {
        for (bytes, said) in [
            (&b""[..], "not a WebAssembly component"),
            (b"(component)", "not a WebAssembly component"),
            (b"\0asm\x01\0\0\0", "`portcullis plugin componentize`"),
            (b"\0asm\x0d\0\x01\0garbage", "not a valid component"),
        ] {
            let text = inspect(bytes)
                .err()
                .map(|error| error.text)
                .unwrap_or_default();
            assert!(text.contains(said), "{text}");
        }
    }

    #[test]
    fn a_refusal_of_the_system_is_not_the_components_fault() {
        let error = wasmtime::Error::msg("Permission denied (os error 13)");
        let error = error.context("failed to make memory executable");
        let text = invalid(&error);
        assert!(text.contains("MemoryDenyWriteExecute="), "{text}");
        assert!(!text.contains("not a valid component"), "{text}");
    }

    #[test]
    fn an_empty_component_says_what_it_lacks() {
        let report = inspect(b"\0asm\x0d\0\x01\0");
        let report = report.map(|report| report.to_string()).unwrap_or_default();
        assert!(report.contains("it exports nothing"), "{report}");
        assert!(
            report.contains("portcullis:plugin/path-policy@0.1.0"),
            "{report}"
        );
    }
}
