//! A directory: Debian's slapd, with a few people in it.

use std::{
    fs::{self, File},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::{
    path,
    support::{eventually, free_port, tls::Identity},
};

/// The password of each is the name. Two have the same mail.
const ENTRIES: &str = "\
dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=example,dc=org
objectClass: organizationalUnit
ou: groups

dn: cn=portcullis,dc=example,dc=org
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: portcullis
userPassword: looks for users

dn: uid=bob,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
objectClass: posixAccount
uid: bob
cn: Bob
sn: B
uidNumber: 1
gidNumber: 1
homeDirectory: /homes/bob
mail: same@example.org
userPassword: bob

dn: uid=carol,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: carol
cn: Carol
sn: C
mail: same@example.org
userPassword: carol

dn: cn=readers,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: readers
member: uid=carol,ou=people,dc=example,dc=org

dn: cn=staff,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: staff
member: uid=bob,ou=people,dc=example,dc=org
member: uid=carol,ou=people,dc=example,dc=org
";

/// A running directory.
pub struct Directory {
    child: Child,
    place: TempDir,
    pub port: u16,
    pub tls_port: u16,
}

impl Directory {
    pub fn start() -> Self {
        let place = TempDir::new().unwrap();
        let identity = Identity::server("127.0.0.1");
        let file = |name: &str, text: &str| fs::write(place.path().join(name), text).unwrap();
        file("certificate.pem", &identity.certificate_pem);
        file("key.pem", &identity.key_pem);
        file("entries.ldif", ENTRIES);
        file("slapd.conf", &configuration(place.path()));
        fs::create_dir(place.path().join("database")).unwrap();

        let slapd = |arguments: &[&str]| {
            let mut command = Command::new(arguments[0]);
            command.args(&arguments[1..]).env("PATH", path());
            command.arg("-f").arg(place.path().join("slapd.conf"));
            let log = File::create(place.path().join(format!("{}.log", arguments[0]))).unwrap();
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log);
            command
        };
        let mut add = slapd(&["slapadd"]);
        let added = add
            .arg("-l")
            .arg(place.path().join("entries.ldif"))
            .status();
        assert!(
            added.unwrap().success(),
            "{}",
            said(place.path(), "slapadd")
        );

        let (port, tls_port) = (free_port(), free_port());
        let listen = format!("ldap://127.0.0.1:{port} ldaps://127.0.0.1:{tls_port}");
        // With -d it stays in the foreground.
        let child = slapd(&["slapd"])
            .args(["-d", "0", "-h", &listen])
            .spawn()
            .unwrap();
        let directory = Self {
            child,
            place,
            port,
            tls_port,
        };
        eventually("the directory listens", || {
            [port, tls_port]
                .iter()
                .all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok())
        });
        directory
    }

    pub fn certificate(&self) -> PathBuf {
        self.place.path().join("certificate.pem")
    }
}

fn said(place: &Path, program: &str) -> String {
    fs::read_to_string(place.join(format!("{program}.log"))).unwrap_or_default()
}

/// Binds without a password succeed, as they do in many a directory.
fn configuration(place: &Path) -> String {
    let place = place.display();
    format!(
        "include /etc/ldap/schema/core.schema\n\
         include /etc/ldap/schema/cosine.schema\n\
         include /etc/ldap/schema/inetorgperson.schema\n\
         include /etc/ldap/schema/nis.schema\n\
         modulepath /usr/lib/ldap\n\
         moduleload back_mdb\n\
         pidfile {place}/slapd.pid\n\
         TLSCertificateFile {place}/certificate.pem\n\
         TLSCertificateKeyFile {place}/key.pem\n\
         allow bind_anon_cred bind_anon_dn\n\
         database mdb\n\
         suffix dc=example,dc=org\n\
         directory {place}/database\n\
         access to attrs=userPassword by anonymous auth by * none\n\
         access to dn.subtree=ou=people,dc=example,dc=org by self read by \
         dn.exact=cn=portcullis,dc=example,dc=org read by anonymous auth by * none\n\
         access to * by dn.exact=cn=portcullis,dc=example,dc=org read by * none\n"
    )
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!(
                "--- the directory's log\n{}---",
                said(self.place.path(), "slapd")
            );
        }
    }
}
