//! A registry on a test's own machine: Debian's `docker-registry`.

pub mod put;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{Running, run};
use crate::host::Host;
use crate::wait::until_true;

/// The user and the password of a registry with [`Access::Password`].
pub const USER: (&str, &str) = ("alice", "secret");
/// The same for the registry, with bcrypt.
const HTPASSWD: &str = "alice:$2b$04$SDdxxnq7T3LS3GSrpbsdD.cQ./xR3lI8I/aIkrYhOT4kieaavHAfq\n";

/// Who may use a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everyone.
    Open,
    /// [`USER`].
    Password,
    /// Whoever has a certificate of the authority that vouches for the registry's own.
    Certificate,
}

/// A registry that runs. It ends when this is dropped.
pub struct Registry {
    running: Option<Running>,
    /// `HOST:PORT`
    pub address: String,
    config: PathBuf,
}

impl Registry {
    /// Starts one with plain HTTP on the loopback.
    #[track_caller]
    pub fn start(host: &Host, access: Access) -> Self {
        Self::start_at(host, "127.0.0.1:5000", access, None)
    }

    /// Starts one at an address that this machine has, with TLS if there is a certificate.
    #[track_caller]
    pub fn start_at(
        host: &Host,
        address: &str,
        access: Access,
        certificate: Option<&Certificate>,
    ) -> Self {
        let directory = host.scratch(&format!("registry-{}", address.replace(':', "-")));
        let path = |name: &str| directory.join(name).display().to_string();
        let mut config = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}\n  \
             delete:\n    enabled: true\nhttp:\n  addr: {address}\n",
            path("data")
        );
        if let Some(certificate) = certificate {
            let (file, key) = (certificate.file.display(), certificate.key.display());
            config += &format!("  tls:\n    certificate: {file}\n    key: {key}\n");
            if access == Access::Certificate {
                let authority = certificate.authority.display();
                config += &format!("    clientcas:\n      - {authority}\n");
            }
        }
        if access == Access::Password {
            std::fs::write(path("htpasswd"), HTPASSWD).expect("write the passwords");
            config +=
                &format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", path("htpasswd"));
        }
        let file = directory.join("config.yml");
        std::fs::write(&file, config).expect("write the registry's configuration");
        let running = Some(serve(host, &file));
        let registry = Self { running, address: address.to_owned(), config: file };
        registry.wait(host);
        registry
    }

    /// The name of an image in it.
    pub fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// Has these files in the directory for this registry's certificates while `work` is done. What
    /// the machine has in /etc is not changed; it looks as if it were.
    #[track_caller]
    pub fn with_certificates(&self, host: &Host, files: &[(&str, &Path)], work: impl FnOnce()) {
        let (upper, inner) = (host.scratch("etc"), host.scratch("etc-work"));
        let known = upper.join("docker/certs.d").join(&self.address);
        std::fs::create_dir_all(&known).expect("make the directory for certificates");
        for (name, file) in files {
            std::fs::copy(file, known.join(name)).expect("copy the certificate");
        }
        let (upper, inner) = (upper.display(), inner.display());
        let options = format!("lowerdir=/etc,upperdir={upper},workdir={inner}");
        host.run("mount", &["-t", "overlay", "overlay", "-o", &options, "/etc"]).ok();
        work();
        host.run("umount", &["/etc"]).ok();
        for (name, _) in files {
            std::fs::remove_file(known.join(name)).expect("take the certificate away");
        }
    }

    /// Ends it.
    #[track_caller]
    pub fn stop(&mut self) {
        let running = self.running.take().expect("the registry runs");
        running.signal(rustix::process::Signal::TERM);
        running.wait();
    }

    /// Starts it again.
    #[track_caller]
    pub fn start_again(&mut self, host: &Host) {
        self.running = Some(serve(host, &self.config));
        self.wait(host);
    }

    /// What it has written to its log.
    pub fn log(&self) -> String {
        self.running.as_ref().map(Running::stderr).unwrap_or_default()
    }

    fn wait(&self, host: &Host) {
        let (name, port) = self.address.split_once(':').expect("it is HOST:PORT");
        let connect = format!("exec 3<>/dev/tcp/{name}/{port}");
        until_true("the registry's port", || host.run("bash", &["-c", &connect]).code == 0);
    }
}

fn serve(host: &Host, config: &Path) -> Running {
    let config = config.display().to_string();
    host.running("docker-registry", &["serve", &config])
}

/// A certificate and who vouches for it.
pub struct Certificate {
    /// The authority's own certificate.
    pub authority: PathBuf,
    file: PathBuf,
    key: PathBuf,
}

impl Certificate {
    /// Makes one for an address, and an authority of its own.
    #[track_caller]
    pub fn make(directory: &Path, address: &str) -> Self {
        let path = |name: &str| directory.join(name);
        let openssl = |arguments: &[&str]| {
            run(Command::new("openssl").args(arguments).current_dir(directory)).ok();
        };
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let authority =
            ["req", "-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", "authority.key"];
        openssl(&[&authority[..], &key, &["-out", "authority.crt"]].concat());
        let request =
            ["req", "-subj", "/CN=registry", "-keyout", "server.key", "-out", "server.csr"];
        openssl(&[&request[..], &key].concat());
        let names = format!("subjectAltName=IP:{address}\n");
        std::fs::write(path("names"), names).expect("write the certificate's names");
        openssl(&[
            "x509",
            "-req",
            "-in",
            "server.csr",
            "-CA",
            "authority.crt",
            "-CAkey",
            "authority.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "names",
            "-out",
            "server.crt",
        ]);
        Self { authority: path("authority.crt"), file: path("server.crt"), key: path("server.key") }
    }

    /// Has the authority vouch for a client, too: its certificate and its key.
    #[track_caller]
    pub fn of_client(directory: &Path) -> (PathBuf, PathBuf) {
        let openssl = |arguments: &[&str]| {
            run(Command::new("openssl").args(arguments).current_dir(directory)).ok();
        };
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let request = ["req", "-subj", "/CN=client", "-keyout", "client.key", "-out", "client.csr"];
        openssl(&[&request[..], &key].concat());
        std::fs::write(directory.join("use"), "extendedKeyUsage=clientAuth\n")
            .expect("write what the certificate is for");
        let sign = ["x509", "-req", "-days", "2", "-in", "client.csr", "-extfile", "use"];
        let by = ["-CA", "authority.crt", "-CAkey", "authority.key", "-CAcreateserial"];
        openssl(&[&sign[..], &by, &["-out", "client.crt"]].concat());
        (directory.join("client.crt"), directory.join("client.key"))
    }
}
