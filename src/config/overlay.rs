//! The tables of a virtual host that it has key by key: a key that it does not say is the top level's.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Binding, ClientCertificates, CloseNotify, LateVerdict, Limits, Tls, TlsVersion, UploadDigest,
    Uploads, value,
};

/// Takes the value that is said, or else that of the table below.
trait Over<T> {
    fn over(&self, below: &T) -> T;
}

impl<T: Clone> Over<T> for Option<T> {
    fn over(&self, below: &T) -> T {
        self.as_ref().unwrap_or(below).clone()
    }
}

impl<T: Clone> Over<Option<T>> for Option<T> {
    fn over(&self, below: &Option<T>) -> Option<T> {
        self.as_ref().or(below.as_ref()).cloned()
    }
}

/// Defines a table of optional keys that lies over another one, and what it has of its own.
macro_rules! overlay {
    (
        $(#[$table:meta])*
        $name:ident over $base:ident {
            $($(#[$attribute:meta])* $field:ident: $type:ty,)*
        }
        own { $($(#[$own_attribute:meta])* $own:ident: $own_type:ty,)* }
    ) => {
        $(#[$table])*
        #[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
        #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
        pub struct $name {
            $($(#[$attribute])* pub $field: Option<$type>,)*
            $($(#[$own_attribute])* pub $own: $own_type,)*
        }

        impl $name {
            /// The table with the keys that are said here in place of those of `below`.
            fn lay(&self, below: &$base) -> $base {
                let mut laid = below.to_owned();
                $(laid.$field = self.$field.over(&below.$field);)*
                laid
            }

            /// The keys that are said here, of those that the table below has, too.
            #[must_use]
            pub fn said(&self) -> Vec<String> {
                let all = [$((stringify!($field), self.$field.is_some()),)*];
                let said = all.into_iter().filter(|(_, said)| *said);
                said.map(|(name, _)| name.replace('_', "-")).collect()
            }
        }
    };
}

overlay! {
    /// `[host.tls]`: the keys of `[tls]`. The certificates go together: a host that names one has no other.
    HostTls over Tls {
        /// As `tls.certificate`. Unset, the certificates are those of `[tls]`, chosen by the name that the client
        /// asks for.
        #[serde(with = "value::OptionalPaths")]
        certificate: Vec<PathBuf>,
        /// As `tls.key`.
        #[serde(with = "value::OptionalPaths")]
        key: Vec<PathBuf>,
        /// As `tls.ocsp-response`.
        #[serde(with = "value::OptionalPaths")]
        ocsp_response: Vec<PathBuf>,
        /// As `tls.required`.
        required: bool,
        /// As `tls.data-required`.
        data_required: bool,
        /// As `tls.clear-users`.
        clear_users: Vec<String>,
        /// As `tls.data-binding`.
        data_binding: Binding,
        /// As `tls.close-notify`.
        close_notify: CloseNotify,
        /// As `tls.minimum-version`.
        minimum_version: TlsVersion,
        /// As `tls.client-certificates`.
        client_certificates: ClientCertificates,
        /// As `tls.client-authorities`.
        #[serde(with = "value::OptionalPath")]
        client_authorities: PathBuf,
        /// As `tls.client-revocation`.
        #[serde(with = "value::OptionalPaths")]
        client_revocation: Vec<PathBuf>,
        /// As `tls.allow-ccc`.
        allow_ccc: bool,
    }
    own {}
}

impl HostTls {
    /// The table in force.
    #[must_use]
    pub fn over(&self, below: &Tls) -> Tls {
        let mut tls = self.lay(below);
        if self.certificate.is_some() {
            tls.key = self.key.clone().unwrap_or_default();
            tls.ocsp_response = self.ocsp_response.clone().unwrap_or_default();
            tls.host.clear();
        }
        tls
    }

    /// All paths, each key with its own.
    pub fn paths(&mut self) -> impl Iterator<Item = (&'static str, &mut [PathBuf])> {
        let lists = [
            ("certificate", &mut self.certificate),
            ("key", &mut self.key),
            ("ocsp-response", &mut self.ocsp_response),
            ("client-revocation", &mut self.client_revocation),
        ];
        let lists = lists.map(|(key, paths)| (key, paths.as_deref_mut().unwrap_or_default()));
        let authorities = self.client_authorities.as_mut_slice();
        let authorities = std::iter::once(("client-authorities", authorities));
        lists.into_iter().chain(authorities)
    }
}

overlay! {
    /// `[host.limits]`: the keys of `[limits]` that concern a session, and limits of the host as a whole.
    HostLimits over Limits {
        /// As `limits.sessions-per-user`.
        sessions_per_user: usize,
        /// As `limits.login-attempts`.
        #[schemars(range(min = 1))]
        login_attempts: u32,
        /// As `limits.login-delay`.
        #[serde(with = "value::OptionalTime")]
        login_delay: Duration,
        /// As `limits.login-timeout`.
        #[schemars(range(min = 0.001))]
        #[serde(with = "value::OptionalTime")]
        login_timeout: Duration,
        /// As `limits.idle-timeout`.
        #[schemars(range(min = 0.001))]
        #[serde(with = "value::OptionalTime")]
        idle_timeout: Duration,
        /// As `limits.data-timeout`.
        #[schemars(range(min = 0.001))]
        #[serde(with = "value::OptionalTime")]
        data_timeout: Duration,
        /// As `limits.handshake-timeout`, for data connections.
        #[schemars(range(min = 0.001))]
        #[serde(with = "value::OptionalTime")]
        handshake_timeout: Duration,
        /// As `limits.stall-timeout`.
        #[schemars(range(min = 0.001))]
        #[serde(with = "value::OptionalTime")]
        stall_timeout: Duration,
        /// As `limits.queued-commands`.
        #[schemars(range(min = 1, max = 10_000))]
        queued_commands: usize,
        /// As `limits.upload-size`.
        #[serde(with = "value::OptionalSize")]
        upload_size: u64,
        /// As `limits.upload-rate`.
        #[serde(with = "value::OptionalRate")]
        upload_rate: u64,
        /// As `limits.download-rate`.
        #[serde(with = "value::OptionalRate")]
        download_rate: u64,
    }
    own {
        /// Sessions that are logged in at this host. 0: no limit but that of the server.
        sessions: u32,
        /// All uploads at this host. 0: no limit but that of the server.
        #[serde(with = "value::Rate")]
        total_upload_rate: u64,
        /// All downloads at this host. 0: no limit but that of the server.
        #[serde(with = "value::Rate")]
        total_download_rate: u64,
    }
}

impl HostLimits {
    /// The table in force.
    #[must_use]
    pub fn over(&self, below: &Limits) -> Limits {
        self.lay(below)
    }
}

overlay! {
    /// `[host.uploads]`: the keys of `[uploads]`.
    HostUploads over Uploads {
        /// As `uploads.digest`.
        digest: UploadDigest,
        /// As `uploads.verdict-after`.
        #[serde(with = "value::OptionalTime")]
        verdict_after: Duration,
        /// As `uploads.verdict-late`.
        verdict_late: LateVerdict,
        /// As `uploads.keep-alive`.
        #[serde(with = "value::OptionalTime")]
        keep_alive: Duration,
        /// As `uploads.resume-overwrites`.
        #[serde(with = "value::OptionalTime")]
        resume_overwrites: Duration,
    }
    own {}
}

impl HostUploads {
    /// The table in force.
    #[must_use]
    pub fn over(&self, below: &Uploads) -> Uploads {
        self.lay(below)
    }
}
