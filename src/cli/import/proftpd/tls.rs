//! `mod_tls`.

use std::path::PathBuf;

use crate::cli::import::{
    draft::Draft,
    report::{Place, Report},
    source::Settings,
};

/// Carries over what mod_tls is told.
pub fn tls(whole: &Place, settings: &mut Settings, draft: &mut Draft, report: &mut Report) {
    let on = settings.switch("TLSEngine", report);
    let place = on.as_ref().map_or(whole, |(_, place)| place).clone();
    if !on.is_some_and(|(on, _)| on) {
        draft.without_tls("TLSEngine", &place, report);
        let all = settings.0.extract_if(.., |directive| {
            let start = directive.name.get(..3);
            start.is_some_and(|start| start.eq_ignore_ascii_case("TLS"))
        });
        for directive in all {
            report.lost(&directive.place, &directive.name, "TLSEngine is off there");
        }
        return;
    }
    let mut pairs: Vec<(PathBuf, PathBuf, Place)> = Vec::new();
    for kind in ["ECC", "EC", "RSA"] {
        let certificate = settings.text(&format!("TLS{kind}CertificateFile"), report);
        let key = settings.text(&format!("TLS{kind}CertificateKeyFile"), report);
        match (certificate, key) {
            (Some((file, place)), key) => {
                let key = key.map_or(file.clone(), |(key, _)| key);
                pairs.push((place.resolve(&file), place.resolve(&key), place));
            }
            (None, Some((_, place))) => {
                report.lost(&place, "a key", "there is no certificate for it");
            }
            (None, None) => {}
        }
    }
    draft.certificates(&pairs);
    required(settings, draft, report);
    options(settings, draft, report);
    clients(settings, draft, report);
    if let Some(directive) = settings.take("TLSProtocol", report) {
        let versions = directive
            .values
            .iter()
            .map(|version| version.to_ascii_lowercase());
        let versions: Vec<String> = versions.collect();
        if versions.iter().all(|version| version == "tlsv1.3") {
            draft.set("tls", "minimum-version", "1.3", &directive.place);
        } else if versions
            .iter()
            .any(|version| !["tlsv1.2", "tlsv1.3"].contains(&version.as_str()))
        {
            let why = "TLS 1.2 is the oldest version: tls.minimum-version";
            report.lost(&directive.place, "TLSProtocol", why);
        }
    }
}

/// `TLSRequired`, of the control connection, of the login, and of data connections.
fn required(settings: &mut Settings, draft: &mut Draft, report: &mut Report) {
    let Some((text, place)) = settings.text("TLSRequired", report) else {
        let comment = "TLSRequired is not set there, which is off";
        draft.set_because("tls", "required", false, comment);
        draft.set_because("tls", "data-required", false, comment);
        return;
    };
    let (control, data) = match text.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" | "ctrl+data" | "auth+data" => (true, true),
        "off" | "false" | "no" | "0" => (false, false),
        "ctrl" | "auth" | "ctrl+!data" | "auth+!data" => (true, false),
        "data" => (false, true),
        _ => {
            report.wrong(
                &place,
                "TLSRequired",
                "on, off, ctrl, auth, data or two of them",
                &text,
            );
            return;
        }
    };
    draft.set("tls", "required", control, &place);
    draft.set("tls", "data-required", data, &place);
}

fn options(settings: &mut Settings, draft: &mut Draft, report: &mut Report) {
    let mut resumed = true;
    for directive in settings.take_all("TLSOptions") {
        for option in &directive.values {
            match option.to_ascii_lowercase().as_str() {
                "nosessionreuserequired" => {
                    resumed = false;
                    draft.set("tls", "data-binding", "prefer", &directive.place);
                }
                "useimplicitssl" => {}
                "nocertrequest" | "enablediags" | "noemptyfragments" | "stdenvvars"
                | "exportcertdata" => {
                    report.needless(&directive.place, option, "there is no need for it here");
                }
                _ => report.lost(
                    &directive.place,
                    option,
                    "TLS has no such option here; see docs/tls.md",
                ),
            }
        }
    }
    if resumed {
        let comment = "TLSOptions has no NoSessionReuseRequired there";
        draft.set_because("tls", "data-binding", "require", comment);
    }
}

/// Client certificates.
fn clients(settings: &mut Settings, draft: &mut Draft, report: &mut Report) {
    let verify = settings.text("TLSVerifyClient", report);
    let authorities = settings.text("TLSCACertificateFile", report);
    let lists = settings.text("TLSCARevocationFile", report);
    let wanted = verify.as_ref().map_or("off", |(text, _)| text);
    let kind = match wanted.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => "required",
        "optional" => "optional",
        _ => {
            for (name, file) in [
                ("TLSCACertificateFile", authorities),
                ("TLSCARevocationFile", lists),
            ] {
                if let Some((_, place)) = file {
                    let why =
                        "client certificates are not verified there; see tls.client-certificates";
                    report.lost(&place, name, why);
                }
            }
            return;
        }
    };
    let Some((file, place)) = authorities else {
        if let Some((_, place)) = verify {
            let why = "a file of authorities is needed: tls.client-authorities";
            report.lost(&place, "TLSVerifyClient", why);
        }
        return;
    };
    draft.set("tls", "client-certificates", kind, &place);
    draft.set(
        "tls",
        "client-authorities",
        place.resolve(&file).display().to_string(),
        &place,
    );
    if let Some((file, place)) = lists {
        draft.set(
            "tls",
            "client-revocation",
            place.resolve(&file).display().to_string(),
            &place,
        );
    }
}
