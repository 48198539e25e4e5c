//! A real broker with a second listener for TLS, passwords and access control.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{Kafka, QUICK_START, class};
use crate::must;

/// The password of the key store, whose only key is generated for one test.
const STORE_PASSWORD: &str = "changeit";
/// The one user, for SCRAM-SHA-512 and PLAIN.
pub const USER: &str = "app";
/// Its password.
pub const PASSWORD: &str = "correct; horse";

/// A broker whose second listener requires TLS and SASL and grants [`USER`] only explicit rights. The plain
/// listener allows every operation.
pub struct Secured {
    kafka: Kafka,
    address: String,
    certificate: PathBuf,
}

impl Secured {
    /// Starts a broker.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a broker with additional settings.
    #[track_caller]
    pub fn start_with(more: &[(&str, &str)]) -> Self {
        let secured = must(Self::try_start(more));
        secured.set_password();
        secured
    }

    /// Sets [`PASSWORD`] for SCRAM-SHA-512, as at the start.
    #[track_caller]
    pub fn set_password(&self) {
        self.alter_user(&["--add-config", &format!("SCRAM-SHA-512=[password={PASSWORD}]")]);
    }

    /// Deletes the password for SCRAM-SHA-512.
    #[track_caller]
    pub fn forget_password(&self) {
        self.alter_user(&["--delete-config", "SCRAM-SHA-512"]);
    }

    #[track_caller]
    fn alter_user(&self, change: &[&str]) {
        let user = ["--alter", "--entity-type", "users", "--entity-name", USER];
        self.admin("configs", &[&user, change].concat());
    }

    fn try_start(more: &[(&str, &str)]) -> Result<Self> {
        let kafka = Kafka::try_start_with(QUICK_START, |dir, port, controller, secured| {
            make_certificate(dir)?;
            let more = more.iter().map(|(key, value)| format!("{key}={value}\n"));
            Ok(settings(dir, port, controller, secured) + &more.collect::<String>())
        })?;
        let address = format!("127.0.0.1:{}", kafka.secured_port);
        let certificate = kafka.dir.join("broker.pem");
        Ok(Self { kafka, address, certificate })
    }

    /// The broker, through its plain listener.
    pub fn kafka(&self) -> &Kafka {
        &self.kafka
    }

    /// `127.0.0.1:PORT` of the listener with TLS.
    pub fn bootstrap(&self) -> &str {
        &self.address
    }

    /// The self-signed certificate of the broker.
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// Grants [`USER`] these operations on a resource: `["--topic", "a"]`, with
    /// `--resource-pattern-type prefixed` for more than one.
    #[track_caller]
    pub fn grant(&self, operations: &[&str], resource: &[&str]) {
        self.acl("--add", operations, resource);
    }

    /// Revokes a grant.
    #[track_caller]
    pub fn revoke(&self, operations: &[&str], resource: &[&str]) {
        self.acl("--remove", operations, resource);
    }

    fn acl(&self, change: &str, operations: &[&str], resource: &[&str]) {
        let user = format!("User:{USER}");
        let mut args = vec![change, "--allow-principal", &user];
        operations.iter().for_each(|operation| args.extend(["--operation", operation]));
        args.extend(resource);
        if change == "--remove" {
            args.push("--force");
        }
        self.admin("acls", &args);
    }

    fn admin(&self, name: &str, args: &[&str]) {
        let mut all = vec!["--bootstrap-server", self.kafka.bootstrap()];
        all.extend(args);
        self.kafka.cli(class(name), &all);
    }
}

/// Creates a self-signed certificate, in `broker.p12` with its key, and in `broker.pem`.
fn make_certificate(dir: &Path) -> Result<()> {
    let store = dir.join("broker.p12");
    let certificate = dir.join("broker.pem");
    let common = ["-alias", "broker", "-storepass", STORE_PASSWORD, "-keystore"];
    let make =
        ["-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-validity", "2", "-dname", "CN=testkit"];
    let names =
        ["-ext", "san=ip:127.0.0.1,dns:localhost", "-ext", "bc:critical=ca:true", "-storetype", "PKCS12"];
    keytool(|command| command.args(make).args(names).args(common).arg(&store))?;
    keytool(|command| {
        command.args(["-exportcert", "-rfc"]).args(common).arg(&store).arg("-file").arg(&certificate)
    })
}

/// Runs keytool of the JDK.
fn keytool(arguments: impl FnOnce(&mut Command) -> &mut Command) -> Result<()> {
    let program = std::env::var("JAVA_HOME")
        .map_or_else(|_| "keytool".to_owned(), |home| format!("{home}/bin/keytool"));
    let output =
        arguments(&mut Command::new(program)).output().context("starting keytool; run `make setup`")?;
    ensure!(output.status.success(), "keytool: {}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

fn settings(dir: &Path, port: u16, controller: u16, secured: u16) -> String {
    let store = dir.join("broker.p12");
    format!(
        "listeners=PLAINTEXT://127.0.0.1:{port},SECURED://127.0.0.1:{secured},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port},SECURED://127.0.0.1:{secured}\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SECURED:SASL_SSL\n\
         listener.name.secured.ssl.keystore.location={}\n\
         listener.name.secured.ssl.keystore.password={STORE_PASSWORD}\n\
         sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN\n\
         listener.name.secured.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
         listener.name.secured.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";\n\
         authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
         super.users=User:ANONYMOUS\n",
        store.display()
    )
}
