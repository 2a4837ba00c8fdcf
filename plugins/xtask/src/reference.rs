//! The contract for people to read, made of `wit/`.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use wit_parser::{
    Docs, Function, FunctionKind, Handle, Interface, InterfaceId, Resolve, Type, TypeDef,
    TypeDefKind, TypeId, World, WorldItem,
};

/// Where it is kept, below the repository.
pub const FILE: &str = "docs/contract.md";

const HEAD: &str = "\
<!-- Made of wit/ by `plugins/build --reference`. Change the comments there, not this file. -->

# The contract

Everything that server and plugins say to each other, as it stands in [wit/](../wit). What the server does
with an answer, and when it asks, is in [plugins.md](plugins.md); what later versions may change, in
[wit/README.md](../wit/README.md).
";

/// The whole page.
pub fn text(root: &Path) -> Result<String> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(root.join("wit"))?;
    let package = resolve.packages.get(package).context("no package")?;
    let (worlds, interfaces) = (sorted(&package.worlds), sorted(&package.interfaces));
    let page = Page(&resolve);

    let mut text = format!(
        "{HEAD}\nThe package is `{}`.\n\n## Worlds\n\n",
        package.name
    );
    text +=
        "A plugin implements one of these: it exports what is named, and may import the rest.\n\n";
    text += "| world | exports | may import | |\n|---|---|---|---|\n";
    let mut exported = Vec::new();
    for (name, world) in worlds {
        let world = resolve.worlds.get(world).context("no world")?;
        // What others include is none by itself.
        if !world.exports.is_empty() {
            exported.extend(world.exports.values().filter_map(interface_of));
            page.world(&mut text, name, world);
        }
    }
    for (heading, answered) in [
        ("What a plugin exports", true),
        ("What a plugin is told, and what it may call", false),
    ] {
        let _ = write!(text, "\n## {heading}\n");
        for &(name, id) in &interfaces {
            if exported.contains(&id) == answered {
                let interface = resolve.interfaces.get(id).context("no interface")?;
                page.interface(&mut text, name, id, interface);
            }
        }
    }
    Ok(text)
}

fn sorted<'a, T: Copy + 'a>(
    named: impl IntoIterator<Item = (&'a String, &'a T)>,
) -> Vec<(&'a str, T)> {
    let named: BTreeMap<_, _> = named.into_iter().collect();
    let pairs = named.into_iter();
    pairs.map(|(name, id)| (name.as_str(), *id)).collect()
}

fn interface_of(item: &WorldItem) -> Option<InterfaceId> {
    match item {
        WorldItem::Interface { id, .. } => Some(*id),
        _ => None,
    }
}

struct Page<'a>(&'a Resolve);

impl Page<'_> {
    fn world(&self, text: &mut String, name: &str, world: &World) {
        let linked = |items: Vec<&WorldItem>| {
            let ids = items.into_iter().filter_map(interface_of);
            let names = ids.filter_map(|id| self.0.interfaces.get(id)?.name.clone());
            let mut links: Vec<_> = names.map(|name| format!("[{name}](#{name})")).collect();
            links.sort();
            links.join(", ")
        };
        let exports = linked(world.exports.values().collect());
        let imports = linked(world.imports.values().collect());
        let docs = cell(&world.docs);
        let _ = writeln!(text, "| `{name}` | {exports} | {imports} | {docs} |");
    }

    fn interface(&self, text: &mut String, name: &str, id: InterfaceId, interface: &Interface) {
        let _ = write!(text, "\n### {name}\n");
        paragraphs(text, &interface.docs);
        let types = interface.types.values().filter_map(|id| {
            let defined = self.0.types.get(*id)?;
            Some((*id, defined))
        });
        let (used, own): (Vec<_>, Vec<_>) =
            types.partition(|(_, defined)| self.is_used(id, defined));
        self.uses(text, &used);
        for (id, defined) in own {
            self.defined(text, id, defined, interface);
        }
        for function in interface.functions.values() {
            if function.kind.resource().is_none() {
                let _ = write!(text, "\n#### `{}`\n", self.signature(function));
                paragraphs(text, &function.docs);
            }
        }
    }

    /// Whether a type is another interface's.
    fn is_used(&self, here: InterfaceId, defined: &TypeDef) -> bool {
        self.origin(defined).is_some_and(|(id, _)| id != here)
    }

    fn origin(&self, defined: &TypeDef) -> Option<(InterfaceId, &str)> {
        let TypeDefKind::Type(Type::Id(other)) = defined.kind else {
            return None;
        };
        let wit_parser::TypeOwner::Interface(id) = self.0.types.get(other)?.owner else {
            return None;
        };
        Some((id, self.0.interfaces.get(id)?.name.as_deref()?))
    }

    fn uses(&self, text: &mut String, used: &[(TypeId, &TypeDef)]) {
        let mut from: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (_, defined) in used {
            if let (Some((_, interface)), Some(name)) = (self.origin(defined), &defined.name) {
                from.entry(interface).or_default().push(format!("`{name}`"));
            }
        }
        for (interface, names) in from {
            let names = names.join(", ");
            let _ = write!(text, "\nUses {names} of [{interface}](#{interface}).\n");
        }
    }

    fn defined(&self, text: &mut String, id: TypeId, defined: &TypeDef, interface: &Interface) {
        let name = defined.name.as_deref().unwrap_or_default();
        let kind = match defined.kind {
            TypeDefKind::Type(_) => "type",
            _ => defined.kind.as_str(),
        };
        let _ = write!(text, "\n#### {kind} `{name}`\n");
        paragraphs(text, &defined.docs);
        let with = |name: &str, payload: Option<&Type>| match payload {
            Some(payload) => format!("{name}({})", self.named(payload)),
            None => name.to_owned(),
        };
        let rows: Vec<(String, &Docs)> = match &defined.kind {
            TypeDefKind::Record(record) => {
                let fields = record.fields.iter();
                let row = |field: &wit_parser::Field| {
                    format!("{}: {}", field.name, self.named(&field.ty))
                };
                fields.map(|field| (row(field), &field.docs)).collect()
            }
            TypeDefKind::Variant(variant) => {
                let cases = variant.cases.iter();
                cases
                    .map(|case| (with(&case.name, case.ty.as_ref()), &case.docs))
                    .collect()
            }
            TypeDefKind::Enum(one) => {
                let cases = one.cases.iter();
                cases.map(|case| (case.name.clone(), &case.docs)).collect()
            }
            TypeDefKind::Flags(flags) => {
                let flags = flags.flags.iter();
                flags.map(|flag| (flag.name.clone(), &flag.docs)).collect()
            }
            TypeDefKind::Resource => {
                let methods = interface.functions.values();
                let methods = methods.filter(|function| function.kind.resource() == Some(id));
                methods
                    .map(|method| (self.signature(method), &method.docs))
                    .collect()
            }
            other => {
                let other = self.kind(other);
                let _ = write!(text, "\n`{name}` is `{other}`.\n");
                return;
            }
        };
        self.rows(text, &rows);
    }

    /// A table where there is something to say of a row, and a line where there is not.
    fn rows(&self, text: &mut String, rows: &[(String, &Docs)]) {
        if rows.iter().all(|(_, docs)| docs.is_empty()) {
            let names: Vec<_> = rows.iter().map(|(what, _)| format!("`{what}`")).collect();
            let _ = write!(text, "\n{}\n", names.join(", "));
            return;
        }
        text.push_str("\n| | |\n|---|---|\n");
        for (what, docs) in rows {
            let _ = writeln!(text, "| `{what}` | {} |", cell(docs));
        }
    }

    fn signature(&self, function: &Function) -> String {
        let is_method = matches!(
            function.kind,
            FunctionKind::Method(_) | FunctionKind::AsyncMethod(_)
        );
        let parameters = function.params.iter().skip(usize::from(is_method));
        let parameters: Vec<_> = parameters
            .map(|one| format!("{}: {}", one.name, self.named(&one.ty)))
            .collect();
        let parameters = parameters.join(", ");
        if let FunctionKind::Constructor(_) = function.kind {
            return format!("constructor({parameters})");
        }
        let result = function.result.as_ref();
        let result =
            result.map_or_else(String::new, |result| format!(" -> {}", self.named(result)));
        format!("{}({parameters}){result}", function.item_name())
    }

    /// A type, as it stands in `wit/`.
    fn named(&self, one: &Type) -> String {
        let name = match one {
            Type::Bool => "bool",
            Type::U8 => "u8",
            Type::U16 => "u16",
            Type::U32 => "u32",
            Type::U64 => "u64",
            Type::S8 => "s8",
            Type::S16 => "s16",
            Type::S32 => "s32",
            Type::S64 => "s64",
            Type::F32 => "f32",
            Type::F64 => "f64",
            Type::Char => "char",
            Type::String => "string",
            Type::ErrorContext => "error-context",
            Type::Id(id) => return self.id(*id),
        };
        name.to_owned()
    }

    fn id(&self, id: TypeId) -> String {
        let Some(defined) = self.0.types.get(id) else {
            return String::new();
        };
        let name = defined.name.clone();
        name.unwrap_or_else(|| self.kind(&defined.kind))
    }

    fn kind(&self, kind: &TypeDefKind) -> String {
        match kind {
            TypeDefKind::Type(one) => self.named(one),
            TypeDefKind::Option(one) => format!("option<{}>", self.named(one)),
            TypeDefKind::List(one) => format!("list<{}>", self.named(one)),
            TypeDefKind::Handle(Handle::Own(id)) => self.id(*id),
            TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", self.id(*id)),
            TypeDefKind::Tuple(tuple) => {
                let types: Vec<_> = tuple.types.iter().map(|one| self.named(one)).collect();
                format!("tuple<{}>", types.join(", "))
            }
            TypeDefKind::Result(result) => match (&result.ok, &result.err) {
                (Some(ok), Some(err)) => format!("result<{}, {}>", self.named(ok), self.named(err)),
                (Some(ok), None) => format!("result<{}>", self.named(ok)),
                (None, Some(err)) => format!("result<_, {}>", self.named(err)),
                (None, None) => "result".to_owned(),
            },
            other => other.as_str().to_owned(),
        }
    }
}

fn paragraphs(text: &mut String, docs: &Docs) {
    if let Some(docs) = &docs.contents {
        let _ = write!(text, "\n{}\n", docs.trim());
    }
}

/// In one line, for a table.
fn cell(docs: &Docs) -> String {
    let words = docs.contents.as_deref().unwrap_or_default();
    let words: Vec<_> = words.split_whitespace().collect();
    words.join(" ").replace('|', "\\|")
}
