//! A kind of plugin that the server does not have: a row, one implementation, and a gate, and it is
//! loaded, asked, pooled and found at fault as all others are.

use std::path::Path;

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataSection, ExportKind, ExportSection, Function,
    FunctionSection, GlobalSection, GlobalType, InstructionSink, MemArg, MemorySection, MemoryType,
    Module, TypeSection, ValType,
};
use wasmtime::{
    Store,
    component::{ComponentExportIndex, InstancePre, Resource, TypedFunc, Val},
};
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::{Resolve, SourceMap};

use super::{uploads::send, *};
use crate::{
    config::Instances,
    gate::{
        FaultKind, Named,
        upload::{Inspector, Refusal, Upload, Verdict},
    },
    kit::contract::FILES,
    plugin::{
        PluginKind,
        authenticator::Authenticator as ComponentAuthenticator,
        bindings::imports::portcullis::plugin::types::Failure,
        call::Call,
        inspector::UploadInspector,
        instances::{Bound, Export, MakeHandle, Pool, World},
        listener::EventListener,
        load::{Hosted, hosted},
        path_guard::PathGuard,
        resources::Session,
        stock::Purpose,
    },
    types::BoxFuture,
};

/// The interface of such a plugin in the contract.
const WIT: &str = "
    package portcullis:plugin@0.1.0;

    /// Says under which path an upload is seen.
    interface upload-naming {
        use types.{session, failure};
        name: func(session: session, path: string) -> result<string, failure>;
    }

    world upload-namer {
        include host;
        export upload-naming;
    }
";

const UPLOAD_NAMER: PluginKind = PluginKind {
    name: "upload-namer",
    decides: "Under which path an upload is seen",
    interface: "upload-naming",
    function: "name",
    besides: None,
    purpose: Purpose::Upload,
    per_session: true,
    may_allow: false,
};

static FIVE: [Hosted; 5] = [
    hosted::<ComponentAuthenticator>(),
    hosted::<PathGuard>(),
    hosted::<UploadInspector>(),
    hosted::<EventListener>(),
    hosted::<UploadNamer>(),
];

struct UploadNamer(TypedFunc<(Resource<Session>, String), (Answer,)>);

type Answer = Result<String, Failure>;

impl Bound for UploadNamer {
    type Pre = (InstancePre<Call>, ComponentExportIndex);

    fn link(component: InstancePre<Call>) -> wasmtime::Result<Self::Pre> {
        let of = component.component();
        let interface = of.get_export_index(None, "portcullis:plugin/upload-naming@0.1.0");
        let function = of.get_export_index(interface.as_ref(), "name").unwrap();
        Ok((component, function))
    }

    async fn instantiate(
        (component, function): &Self::Pre,
        store: &mut Store<Call>,
    ) -> wasmtime::Result<Self> {
        let instance = component.instantiate_async(&mut *store).await?;
        Ok(Self(instance.get_typed_func(store, function)?))
    }
}

impl Export for UploadNamer {
    type Question = String;
    type Answer = String;

    async fn ask(
        &self,
        store: &mut Store<Call>,
        path: String,
    ) -> wasmtime::Result<Result<String, Failure>> {
        let session = store.data_mut().lend_session()?;
        let (answer,) = self.0.call_async(store, (session, path)).await?;
        Ok(answer)
    }
}

impl World for UploadNamer {
    const KIND: &'static PluginKind = &UPLOAD_NAMER;
    type Outcome = Verdict;
    type Gate = dyn Inspector;

    fn outcome(_: &mut Call, path: String) -> Result<Verdict, String> {
        match path.starts_with('/') {
            true => Ok(Verdict::AcceptAs(path)),
            false => Err(format!("{path:?} is no absolute path")),
        }
    }

    fn trial(handle: MakeHandle<'_>) -> wasmtime::Result<Vec<Val>> {
        Ok(vec![handle()?, Val::String("/nothing".into())])
    }

    fn gate(pool: Pool<Self>) -> Arc<Self::Gate> {
        Arc::new(pool)
    }

    fn chain(gates: &mut Gates) -> &mut Vec<Named<Self::Gate>> {
        &mut gates.inspectors
    }
}

impl Inspector for Pool<UploadNamer> {
    fn inspect(
        &self,
        session: Arc<SessionInfo>,
        upload: Upload,
    ) -> BoxFuture<'static, Result<Verdict, Fault>> {
        let (pool, path) = (self.clone(), upload.facts().path.as_str().to_owned());
        Box::pin(async move { pool.call(session, path).await })
    }
}

/// Where the module has its answer, and the text "/0".
const ANSWER: i32 = 16;
const TEXT: i32 = 64;

/// Answers "/1", "/2" and so on, and something else to paths that begin with "/t", "/l", "/i" and "/r".
fn name() -> Function {
    let at = |offset| MemArg {
        offset,
        align: 0,
        memory_index: 0,
    };
    let mut function = Function::new([]);
    let mut code = function.instructions();
    let when = |code: &mut InstructionSink<'_>, first: char| {
        code.local_get(1).i32_load8_u(at(1));
        code.i32_const(first as i32).i32_eq().if_(BlockType::Empty);
    };
    let store = |code: &mut InstructionSink<'_>, words: &[i32]| {
        for (index, word) in words.iter().enumerate() {
            code.i32_const(ANSWER).i32_const(*word);
            code.i32_store(at(index as u64 * 4));
        }
        code.i32_const(ANSWER).return_();
    };
    when(&mut code, 't');
    code.unreachable().end();
    when(&mut code, 'l');
    code.loop_(BlockType::Empty).br(0).end().end();
    when(&mut code, 'i');
    store(&mut code, &[1, 1, TEXT, 2]);
    code.end();
    when(&mut code, 'r');
    store(&mut code, &[0, TEXT + 1, 1]);
    code.end();
    code.global_get(0).i32_const(1).i32_add().global_set(0);
    code.i32_const(TEXT + 1);
    code.global_get(0)
        .i32_const('0' as i32)
        .i32_add()
        .i32_store8(at(0));
    store(&mut code, &[0, TEXT, 2]);
    code.unreachable().end();
    function
}

fn namer(name: &Function) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32; 3], [ValType::I32]);
    types.ty().function([ValType::I32; 4], [ValType::I32]);
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
    let mut globals = GlobalSection::new();
    let counter = GlobalType {
        val_type: ValType::I32,
        mutable: true,
        shared: false,
    };
    globals.global(counter, &ConstExpr::i32_const(0));
    let function = "portcullis:plugin/upload-naming@0.1.0#name";
    let mut exports = ExportSection::new();
    exports
        .export("memory", ExportKind::Memory, 0)
        .export(function, ExportKind::Func, 0)
        .export("cabi_realloc", ExportKind::Func, 1);
    let mut realloc = Function::new([]);
    realloc.instructions().i32_const(1024).end();
    let mut code = CodeSection::new();
    code.function(name).function(&realloc);
    let mut data = DataSection::new();
    data.active(0, &ConstExpr::i32_const(TEXT), *b"/0");
    let mut module = Module::new();
    module
        .section(&types)
        .section(&functions)
        .section(&memories)
        .section(&globals)
        .section(&exports)
        .section(&code)
        .section(&data);
    let mut module = module.finish();

    let mut sources = SourceMap::default();
    for (name, text) in FILES {
        sources.push(Path::new(name), text);
    }
    sources.push(Path::new("upload-naming.wit"), WIT);
    let mut resolve = Resolve::default();
    let package = resolve.push_group(sources.parse().unwrap()).unwrap();
    let world = resolve.select_world(&[package], Some("upload-namer"));
    let encoding = StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut module, &resolve, world.unwrap(), encoding)
        .unwrap();
    let encoder = ComponentEncoder::default().validate(true);
    encoder.module(&module).unwrap().encode().unwrap()
}

/// A host that has the fifth kind, and a plugin of that kind with this function.
fn fixture(name: &Function) -> (Fixture, config::Plugin) {
    let mut fixture = Fixture::new();
    let cache = fixture.directory.path().join("cache");
    fixture.host = Host::of(
        &FIVE,
        &config::PluginHost::default(),
        &cache,
        crate::plugin::Keeper::Memory,
        crate::plugin::Tools::default(),
    )
    .unwrap();
    let file = fixture.directory.path().join("namer.wasm");
    std::fs::write(&file, namer(name)).unwrap();
    let plugin = configured(file.to_str().unwrap().into(), "");
    (fixture, plugin)
}

async fn named(gates: &Gates, path: &str) -> String {
    let sent = send(&gates.inspectors, path, &[]).await;
    sent.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fifth_kind_of_plugin_is_one_implementation() {
    let (fixture, mut plugin) = fixture(&name());
    plugin.limits.cpu_time = millis(100);
    let taken = || fixture.host.shared.instances.taken();
    for (instances, second, kept) in [
        (Instances::PerCall, "/1", 0),
        (Instances::Pool, "/2", 1),
        // Its gate is asked by all sessions together.
        (Instances::PerSession, "/1", 0),
    ] {
        plugin.name = format!("{instances:?}");
        plugin.instances = Some(instances);
        let gates = fixture.gates(&[plugin.clone()]).await;
        assert_eq!(named(&gates, "/a").await, "/1");
        assert_eq!(named(&gates, "/a").await, second);
        assert_eq!(taken(), kept);
        for (path, kind, text) in [
            ("/trap", FaultKind::Trap, "unreachable"),
            ("/loop", FaultKind::Timeout, "limits.cpu-time"),
            ("/internal", FaultKind::Internal, "/"),
            ("/relative", FaultKind::InvalidResponse, "no absolute path"),
        ] {
            let sent = send(&gates.inspectors, path, &[]).await;
            let Err(Refusal::Failed(fault)) = sent else {
                panic!("{path}: {sent:?}")
            };
            assert_eq!((fault.kind, &*fault.plugin), (kind, &*plugin.name));
            assert!(fault.text.contains(text), "{fault}");
            assert_eq!(taken(), 0, "the instance is gone after {path}");
            assert_eq!(named(&gates, "/a").await, "/1", "after {path}");
        }
        let health = gates.health[0].snapshot();
        assert_eq!((health.calls, health.faults), (10, 4));
    }
}

#[tokio::test]
async fn a_fifth_kind_of_plugin_is_examined_as_all_are() {
    let (fixture, mut plugin) = fixture(&name());
    plugin.on_failure = OnFailure::Allow;
    let plugins = [plugin.clone()];
    let place = fixture.directory.path();
    let error = fixture.host.gates(&plugins, place).await.err().unwrap();
    assert!(error.text.contains("an upload-namer that fails"), "{error}");
    // The server's own kinds are four.
    let host = Fixture::new().host;
    let error = host.gates(&plugins, place).await.err().unwrap();
    let text = "it exports portcullis:plugin/upload-naming@0.1.0; a plugin exports one of";
    assert!(error.text.contains(text), "{error}");
    // One that crashes at each call is not loaded.
    let mut crashes = Function::new([]);
    crashes.instructions().unreachable().end();
    std::fs::write(place.join("namer.wasm"), namer(&crashes)).unwrap();
    plugin.on_failure = OnFailure::Deny;
    let error = fixture.host.gates(&[plugin], place).await.err().unwrap();
    let text = "does its source have the function of upload-namers";
    assert!(error.text.contains(text), "{error}");
}
