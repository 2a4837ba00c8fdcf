//! Options of vsftpd that have no counterpart.

use crate::cli::import::report::{
    Fate::{Lost, Needless},
    Fates,
};

pub const FATES: Fates = &[
    (
        "accept_timeout",
        Lost("it is one for all users: limits.data-timeout"),
    ),
    (
        "allow_writeable_chroot",
        Needless("a home that can be written is no danger here"),
    ),
    (
        "anon_*",
        Lost("guests of the plugin \"users\" have no such key"),
    ),
    ("ascii_download_enable", Needless("TYPE A always converts")),
    ("ascii_upload_enable", Needless("TYPE A always converts")),
    ("async_abor_enable", Needless("ABOR is always noticed")),
    (
        "background",
        Needless("the service manager starts the server"),
    ),
    (
        "banned_email_file",
        Lost("passwords of guests are not looked at"),
    ),
    ("check_shell", Needless("shells do not matter")),
    (
        "chown_upload*",
        Lost("all files belong to the user that serves"),
    ),
    (
        "chown_username",
        Lost("all files belong to the user that serves"),
    ),
    ("debug_ssl", Needless("log.level")),
    (
        "delete_failed_uploads",
        Lost("broken uploads wait to be resumed: storage.NAME.partial-age"),
    ),
    (
        "delay_successful_login",
        Lost("logins that succeed are not held back"),
    ),
    (
        "deny_email_enable",
        Lost("passwords of guests are not looked at"),
    ),
    (
        "dirmessage_enable",
        Lost("messages of directories are not shown"),
    ),
    ("download_file", Lost("see the plugin \"rules\"")),
    (
        "dual_log_enable",
        Needless("the log and audit.xferlog are two"),
    ),
    (
        "email_password_file",
        Lost("passwords of guests are not looked at"),
    ),
    (
        "file_open_mode",
        Lost("it is one for all users: storage.NAME.file-mode"),
    ),
    ("force_anon*", Lost("see tls.clear-users")),
    (
        "force_dot_files",
        Lost("names that begin with a dot are listed with -a, and by MLSD"),
    ),
    (
        "force_local*",
        Lost("it is one for all users; see tls.clear-users"),
    ),
    (
        "ftp_data_port",
        Lost("active connections come from any port"),
    ),
    ("hide_ids", Needless("listings tell no owner of the system")),
    (
        "local_max_rate",
        Lost("users with the rights of guests have anon_max_rate"),
    ),
    (
        "local_umask",
        Lost("it is one for all users: storage.NAME.file-mode and directory-mode"),
    ),
    (
        "lock_upload_files",
        Needless("an upload is seen when it is whole"),
    ),
    (
        "log_ftp_protocol",
        Lost("log.level = \"trace\" tells verbs and replies"),
    ),
    ("ls_recurse_enable", Lost("listings are not recursive")),
    (
        "max_*",
        Lost("it is one for all users: [limits], or max-sessions of a user"),
    ),
    (
        "message_file",
        Lost("messages of directories are not shown"),
    ),
    ("mdtm_write", Lost("see change-metadata in permissions")),
    ("no_anon_password", Needless("guests may give any password")),
    ("no_log_lock", Needless("one process writes the log")),
    (
        "nopriv_user",
        Needless("server.user names the user that serves"),
    ),
    (
        "one_process_model",
        Needless("sessions are tasks of one process"),
    ),
    (
        "pam_service_name",
        Lost("PAM is not asked; users are in users.toml, or see auth-ldap, auth-sql and auth-http"),
    ),
    (
        "passwd_chroot_enable",
        Lost("every user is confined to the home; set home by hand where it had \"/./\""),
    ),
    (
        "pasv_promiscuous",
        Lost("a data connection always comes from the client's address"),
    ),
    (
        "port_promiscuous",
        Lost("active connections go to the client's address alone"),
    ),
    (
        "run_as_launching_user",
        Needless("server.user names the user that serves"),
    ),
    (
        "secure_chroot_dir",
        Needless("there is no such directory; see docs/security.md"),
    ),
    (
        "secure_email_list_enable",
        Lost("passwords of guests are not looked at"),
    ),
    (
        "session_support",
        Lost("utmp and wtmp are not written; see audit.file"),
    ),
    (
        "setproctitle_enable",
        Needless("`portcullis who` and `top` show sessions"),
    ),
    ("ssl_ciphers", Lost("the suites are those of docs/tls.md")),
    (
        "ssl_request_cert",
        Needless("tls.client-certificates says whether one is asked for"),
    ),
    ("ssl_sslv2", Lost("TLS 1.2 is the oldest version")),
    ("ssl_sslv3", Lost("TLS 1.2 is the oldest version")),
    (
        "ssl_tlsv1*",
        Lost("TLS 1.2 is the oldest version; tls.minimum-version"),
    ),
    (
        "strict_ssl_write_shutdown",
        Needless("the end of a download is sent"),
    ),
    (
        "syslog_enable",
        Lost("log.output = \"journald\" is the way to the system's log"),
    ),
    (
        "tcp_wrappers",
        Lost("see bans.deny-file, bans.allow, and addresses of a user"),
    ),
    (
        "text_userdb_names",
        Needless("listings tell no owner of the system"),
    ),
    ("tilde_user_enable", Lost("\"~\" is a name like others")),
    ("trans_chunk_size", Needless("rates are smooth")),
    ("use_localtime", Lost("listings have UTC")),
    ("use_sendfile", Needless("it is no key here")),
    ("utf8_filesystem", Needless("names are UTF-8")),
    (
        "isolate*",
        Needless("see docs/security.md for the walls around the process"),
    ),
    ("seccomp_sandbox", Needless("server.seccomp, which is on")),
    (
        "xferlog_std_format",
        Needless("audit.xferlog has this format"),
    ),
];
