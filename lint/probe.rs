//! Uses what the library crates ban, once each: see bans.sh.

pub type Types = (
    std::net::TcpStream,
    std::net::TcpListener,
    std::net::UdpSocket,
    std::fs::File,
    std::fs::OpenOptions,
    std::sync::Mutex<()>,
    std::sync::RwLock<()>,
    std::sync::Condvar,
    std::sync::mpsc::Sender<()>,
    std::sync::mpsc::SyncSender<()>,
    std::process::Command,
    std::thread::Builder,
    std::os::unix::net::UnixStream,
    std::hash::RandomState,
);

pub fn methods() {
    let _ = std::time::Instant::now();
    let _ = std::time::SystemTime::now();
    let _ = std::thread::spawn(|| ());
    std::thread::sleep(std::time::Duration::ZERO);
    let _ = std::fs::read("");
    let _ = std::fs::write("", "");
    let _ = std::fs::read_to_string("");
    let _ = std::fs::read_dir("");
    let _ = std::env::var("");
    let _ = std::io::stdin();
    let _ = std::io::stdout();
}
