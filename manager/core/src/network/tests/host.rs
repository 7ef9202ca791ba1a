//! A host to try networks on: a thread with network and mount namespaces of its own.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::config::Config;
use crate::error::Result;
use crate::events::Events;
use crate::network::{
    Connect, Connected, Forwarding, Networks, PortChoice, PortRequest, Protocol, Sandbox, Wish,
};
use crate::store::Store;

/// How long an answer may take, also on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// How long to wait for an answer that must not come.
pub(super) const LOST: Duration = Duration::from_millis(200);

/// The host, with its manager's directories.
pub(super) struct Host {
    directory: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    store: Arc<Store>,
    pub(super) config: Config,
}

/// Runs `test` on a fresh host. Only root can make one: others skip the test.
pub(super) fn on_a_host(test: impl FnOnce(Host) + Send) {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: making network namespaces takes root");
        return;
    }
    let failed = thread::scope(|scope| scope.spawn(|| test(Host::new())).join());
    if let Err(panic) = failed {
        std::panic::resume_unwind(panic);
    }
}

impl Host {
    fn new() -> Self {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).unwrap();
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).unwrap();
        run("ip link set lo up");
        let directory = tempfile::tempdir().unwrap();
        let mut config =
            Config::with_roots(&directory.path().join("data"), &directory.path().join("exec"));
        config.bridge.name = "bridge0".to_owned();
        std::fs::create_dir_all(&config.data_root).unwrap();
        let store = Arc::new(Store::open(&config.store_file()).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { directory, runtime, store, config }
    }

    pub(super) fn open(&self) -> Result<Arc<Networks>> {
        self.wait(Networks::open(&self.config, Arc::clone(&self.store), Events::new()))
    }

    pub(super) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub(super) fn connect(
        &self,
        networks: &Arc<Networks>,
        container: &str,
        ports: &[PortRequest],
    ) -> Result<Connected> {
        self.wait(networks.connect(Connect { ports: ports.to_vec(), ..request(container) }))
    }

    /// A neighbour: another host on a cable, 10.9.0.2 to our 10.9.0.1, that sends what is for
    /// containers to us.
    pub(super) fn neighbour(&self) -> PathBuf {
        self.neighbour_in(9)
    }

    /// The same, at 10.NUMBER.0.2; it sends what is for other neighbours to us, too.
    pub(super) fn neighbour_in(&self, number: u8) -> PathBuf {
        let path = self.neighbours().join(number.to_string());
        std::fs::create_dir_all(self.neighbours()).unwrap();
        crate::network::kernel::netns::create(&path, None, |_| Ok(())).unwrap();
        run(&format!("ip link add cable{number} type veth peer name uplink"));
        run(&format!("ip address add 10.{number}.0.1/24 dev cable{number}"));
        run(&format!("ip link set cable{number} up"));
        let target = path.to_str().unwrap();
        // `ip` takes a file where it looks for a name, if it has a slash.
        run(&format!("ip link set uplink netns {target}"));
        inside(&path, || {
            run("ip link set lo up");
            run(&format!("ip address add 10.{number}.0.2/24 dev uplink"));
            run("ip link set uplink up");
            run(&format!("ip route add default via 10.{number}.0.1"));
        });
        // Being asked about it, the kernel opens the link at once.
        run(&format!("ip link show cable{number}"));
        path
    }

    fn neighbours(&self) -> PathBuf {
        self.directory.path().join("neighbours")
    }

    /// Lets the manager work until `is_so`.
    pub(super) fn wait_until(&self, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < deadline, "it doesn't come about");
            self.work_for(Duration::from_millis(5));
        }
    }

    /// Lets the manager work for so long.
    pub(super) fn work_for(&self, time: Duration) {
        self.wait(async { tokio::time::sleep(time).await });
    }

    /// Forgets that a network was made, as a manager does that was killed before it wrote that down.
    pub(super) fn forget_network(&self, id: &str) {
        self.store.write(|change| change.delete(&crate::network::known::DEFINITIONS, id)).unwrap();
    }

    /// Disconnects a container and waits until the kernel is done with it.
    pub(super) fn disconnect(&self, networks: &Arc<Networks>, container: &str) {
        self.wait(networks.disconnect(container)).unwrap();
        assert!(networks.sandbox(container).is_none());
        let deadline = Instant::now() + PATIENCE;
        while networks.held(container).is_some() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// What there is in the kernel that containers could leave behind.
    pub(super) fn leftovers(&self) -> Vec<String> {
        let mut left = Vec::new();
        let mounts = std::fs::read_to_string("/proc/thread-self/mounts").unwrap();
        left.extend(mounts.lines().filter(|line| line.contains("/exec/")).map(str::to_owned));
        let links = output("ip -o link");
        left.extend(links.lines().filter(|line| line.contains("tare-")).map(str::to_owned));
        let table = output("nft list ruleset");
        left.extend(table.lines().filter(|line| line.contains("comment")).map(str::to_owned));
        for directory in [self.config.netns_directory(), self.config.endpoint_directory()] {
            for file in std::fs::read_dir(directory).unwrap() {
                left.push(file.unwrap().path().display().to_string());
            }
        }
        left
    }
}

impl Drop for Host {
    /// Lets go of namespaces, so that the directory can be deleted.
    fn drop(&mut self) {
        for directory in
            [self.config.netns_directory(), self.neighbours(), self.config.parent_directory()]
        {
            for file in directory.read_dir().into_iter().flatten().flatten() {
                let _ = crate::network::kernel::netns::remove(&file.path());
            }
        }
    }
}

/// Runs `work` in the namespace that `path` holds.
pub(super) fn inside<T: Send>(path: &Path, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        scope
            .spawn(|| {
                let namespace = File::open(path).unwrap();
                move_into_link_name_space(
                    std::os::fd::AsFd::as_fd(&namespace),
                    Some(LinkNameSpaceType::Network),
                )
                .unwrap();
                work()
            })
            .join()
            .unwrap()
    })
}

/// Starts a server inside `path` on `port` that says who it is and who is calling.
pub(super) fn serve(path: &Path, port: u16, who: &'static str) {
    let listener = inside(path, || TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).unwrap());
    thread::spawn(move || {
        while let Ok((mut stream, peer)) = listener.accept() {
            let _ = write!(stream, "{who} {}", peer.ip().to_canonical());
        }
    });
}

/// Starts a server inside `path` that answers every datagram with `answer`.
pub(super) fn serve_udp(path: &Path, port: u16, answer: &'static [u8]) {
    let socket = inside(path, || UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)).unwrap());
    thread::spawn(move || {
        while let Ok((_, peer)) = socket.recv_from(&mut [0; 16]) {
            let _ = socket.send_to(answer, peer);
        }
    });
}

/// What the server at `address` says to the calling thread; none if it can't be reached.
pub(super) fn call(address: &str) -> Option<String> {
    call_within(address, PATIENCE)
}

/// Whether the calling thread can't reach a server at `address`, for all that it waits.
pub(super) fn is_out_of_reach(address: &str) -> bool {
    call_within(address, LOST).is_none()
}

fn call_within(address: &str, patience: Duration) -> Option<String> {
    let address: SocketAddr = address.parse().unwrap();
    let mut stream = TcpStream::connect_timeout(&address, patience).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// A wish to put a container on the bridge.
pub(super) fn request(container: &str) -> Connect {
    Connect {
        user_namespace: None,
        container: container.to_owned(),
        name: format!("name-of-{container}"),
        wishes: vec![wish(container, "bridge")],
        ports: Vec::new(),
        name_servers: Vec::new(),
        forwarding: Forwarding::default(),
    }
}

/// The first IPv4 address that a container has.
pub(super) fn address_of(sandbox: &Sandbox) -> Ipv4Addr {
    let interface = sandbox.endpoints[0].interface.as_ref().unwrap();
    match interface.ipv4.unwrap().address {
        IpAddr::V4(address) => address,
        IpAddr::V6(address) => panic!("{address}"),
    }
}

/// What it wants of a network.
pub(super) fn wish(container: &str, network: &str) -> Wish {
    let names = vec![container.to_owned()];
    Wish { network: network.to_owned(), names, ..Wish::default() }
}

pub(super) fn run(command: &str) {
    output(command);
}

pub(super) fn output(command: &str) -> String {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub(super) fn tcp(host_ip: &str, host_port: u16, container_port: u16) -> PortRequest {
    let host_ip = (!host_ip.is_empty()).then(|| host_ip.parse().unwrap());
    let host_port = PortChoice::Fixed(host_port);
    PortRequest { container_port, protocol: Protocol::Tcp, host_ip, host_port }
}
