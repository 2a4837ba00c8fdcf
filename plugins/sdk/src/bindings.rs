//! The bindings: the imports once, and the exports of each world on top of them.

wit_bindgen::generate!({
    inline: "
        package portcullis:sdk;
        world imports {
            include portcullis:plugin/host@0.1.0;
            import portcullis:plugin/types@0.1.0;
            import portcullis:plugin/uploads@0.1.0;
        }
    ",
    path: "../../wit",
    world: "portcullis:sdk/imports",
    generate_all,
});

pub mod authenticator {
    wit_bindgen::generate!({
        world: "portcullis:plugin/authenticator",
        path: "../../wit",
        with: {
            "portcullis:plugin/log@0.1.0": crate::bindings::portcullis::plugin::log,
            "portcullis:plugin/passwords@0.1.0": crate::bindings::portcullis::plugin::passwords,
            "portcullis:plugin/settings@0.1.0": crate::bindings::portcullis::plugin::settings,
            "portcullis:plugin/state@0.1.0": crate::bindings::portcullis::plugin::state,
            "portcullis:plugin/types@0.1.0": crate::bindings::portcullis::plugin::types,
        },
        pub_export_macro: true,
        default_bindings_module: "sdk::bindings::authenticator",
    });
}

pub mod event_listener {
    wit_bindgen::generate!({
        world: "portcullis:plugin/event-listener",
        path: "../../wit",
        with: {
            "portcullis:plugin/log@0.1.0": crate::bindings::portcullis::plugin::log,
            "portcullis:plugin/passwords@0.1.0": crate::bindings::portcullis::plugin::passwords,
            "portcullis:plugin/settings@0.1.0": crate::bindings::portcullis::plugin::settings,
            "portcullis:plugin/state@0.1.0": crate::bindings::portcullis::plugin::state,
            "portcullis:plugin/types@0.1.0": crate::bindings::portcullis::plugin::types,
        },
        pub_export_macro: true,
        default_bindings_module: "sdk::bindings::event_listener",
    });
}

pub mod path_guard {
    wit_bindgen::generate!({
        world: "portcullis:plugin/path-guard",
        path: "../../wit",
        with: {
            "portcullis:plugin/log@0.1.0": crate::bindings::portcullis::plugin::log,
            "portcullis:plugin/passwords@0.1.0": crate::bindings::portcullis::plugin::passwords,
            "portcullis:plugin/settings@0.1.0": crate::bindings::portcullis::plugin::settings,
            "portcullis:plugin/state@0.1.0": crate::bindings::portcullis::plugin::state,
            "portcullis:plugin/types@0.1.0": crate::bindings::portcullis::plugin::types,
        },
        pub_export_macro: true,
        default_bindings_module: "sdk::bindings::path_guard",
    });
}

pub mod upload_inspector {
    wit_bindgen::generate!({
        world: "portcullis:plugin/upload-inspector",
        path: "../../wit",
        with: {
            "portcullis:plugin/log@0.1.0": crate::bindings::portcullis::plugin::log,
            "portcullis:plugin/passwords@0.1.0": crate::bindings::portcullis::plugin::passwords,
            "portcullis:plugin/settings@0.1.0": crate::bindings::portcullis::plugin::settings,
            "portcullis:plugin/state@0.1.0": crate::bindings::portcullis::plugin::state,
            "portcullis:plugin/types@0.1.0": crate::bindings::portcullis::plugin::types,
            "portcullis:plugin/uploads@0.1.0": crate::bindings::portcullis::plugin::uploads,
        },
        pub_export_macro: true,
        default_bindings_module: "sdk::bindings::upload_inspector",
    });
}

pub mod settings_checker {
    wit_bindgen::generate!({
        world: "portcullis:plugin/settings-checker",
        path: "../../wit",
        pub_export_macro: true,
        default_bindings_module: "sdk::bindings::settings_checker",
    });
}
