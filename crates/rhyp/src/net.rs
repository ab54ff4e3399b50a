//! `--net`: from words to networks and adapters.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use partition::io::{NicModel, NicSlot};
use partition::net::Port;
use partition::net::passt::{Forward, Passt, PasstError, Protocol};
use partition::net::socket::{self, Address};
use partition::net::switch::{MAX_VLAN, PortConfig, Switches, Uplink};
use partition::net::tap::Tap;

use crate::disk::words;
use crate::error::Failure;

/// The adapter where nothing is said.
const DEFAULT_MODEL: NicModel = NicModel::Virtio;

/// What one `--net` says.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    network: Network,
    model: NicModel,
    mac: Option<[u8; 6]>,
    forwards: Vec<Forward>,
    vlan: PortConfig,
    /// The network is a switch's way out and has no adapter.
    uplink: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Network {
    User,
    Tap(String),
    Socket { address: Address, listen: bool },
    Switch(String),
    None,
}

const RIGHT: &str = "user, tap=NAME, socket=PATH, switch=NAME or none";

fn parse(arg: &str) -> Result<Wanted, Failure> {
    let wrong = |what: String| Failure::usage(format!("--net {arg}: {what}"));
    let mut words = words(arg).into_iter();
    let first = words.next().unwrap_or_default();
    let (kind, value) = first.split_once('=').map_or((first.as_str(), None), |(k, v)| (k, Some(v)));
    let network = match (kind, value.filter(|v| !v.is_empty())) {
        ("user", None) if value.is_none() => Network::User,
        ("none", None) if value.is_none() => Network::None,
        ("tap", Some(name)) => Network::Tap(name.into()),
        ("switch", Some(name)) => Network::Switch(name.into()),
        ("socket", Some(at)) => {
            let address = match at.strip_prefix("tcp:") {
                Some(a) if a.rsplit_once(':').is_some_and(|(_, p)| p.parse::<u16>().is_ok()) => {
                    Address::Tcp(a.into())
                }
                Some(_) => return Err(wrong("right would be socket=tcp:HOST:PORT".into())),
                None => Address::Unix(PathBuf::from(at)),
            };
            Network::Socket { address, listen: false }
        }
        ("tap" | "switch" | "socket", None) => return Err(wrong(format!("a name is missing: {kind}=..."))),
        ("vhost-user", _) => {
            return Err(wrong(
                "a network that another program serves is --device vhost-user,socket=PATH,kind=net".into(),
            ));
        }
        _ => return Err(wrong(format!("'{first}' is unknown; right would be {RIGHT}"))),
    };
    let mut w = Wanted {
        network,
        model: DEFAULT_MODEL,
        mac: None,
        forwards: Vec::new(),
        vlan: PortConfig::default(),
        uplink: None,
    };
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((&word, ""));
        option(&mut w, key, value).map_err(wrong)?;
    }
    Ok(w)
}

/// One word behind the network's own.
fn option(w: &mut Wanted, key: &str, value: &str) -> Result<(), String> {
    let vlan = |v: &str| {
        let number = v.parse().ok().filter(|n| (1..=MAX_VLAN).contains(n));
        number.ok_or_else(|| format!("VLAN '{v}' is impossible; right would be 1 to {MAX_VLAN}"))
    };
    match (key, &mut w.network) {
        ("model", _) => {
            w.model = match value {
                "virtio" => NicModel::Virtio,
                "veth" => NicModel::Veth,
                _ => return Err(format!("model '{value}' is unknown; right would be virtio or veth")),
            }
        }
        ("mac", _) => w.mac = Some(mac(value)?),
        ("hostfwd", Network::User) => w.forwards.push(forward(value)?),
        ("hostfwd", _) => return Err("only a user network forwards ports".into()),
        ("listen", Network::Socket { listen, .. }) if value.is_empty() => *listen = true,
        ("vlan", Network::Switch(_)) => w.vlan.vlan = vlan(value)?,
        ("tagged", Network::Switch(_)) => {
            w.vlan.tagged = value.split('+').map(vlan).collect::<Result<_, _>>()?;
        }
        ("trunk", Network::Switch(_)) => {
            let priority = value.parse().ok().filter(|p| (1..=15).contains(p));
            w.vlan.trunk = Some(priority.ok_or("a trunk has a priority of 1 to 15: trunk=N")?);
        }
        ("vlan" | "tagged" | "trunk", _) => return Err(format!("'{key}' belongs to switch=NAME")),
        ("uplink", Network::User | Network::Tap(_) | Network::Socket { .. }) if !value.is_empty() => {
            w.uplink = Some(value.into());
        }
        _ => {
            let right = match w.network {
                Network::User => "hostfwd, model, mac or uplink",
                Network::Switch(_) => "vlan, tagged, trunk, model or mac",
                Network::Socket { .. } => "listen, model, mac or uplink",
                Network::Tap(_) => "model, mac or uplink",
                Network::None => "nothing more",
            };
            return Err(format!("'{key}' is unknown; right would be {right}"));
        }
    }
    Ok(())
}

fn mac(s: &str) -> Result<[u8; 6], String> {
    let bytes: Option<Vec<u8>> = s.split(':').map(|b| u8::from_str_radix(b, 16).ok()).collect();
    let mac: Option<[u8; 6]> = bytes.and_then(|b| b.try_into().ok());
    let mac = mac.filter(|m| m[0] & 1 == 0 && *m != [0; 6]);
    mac.ok_or_else(|| {
        format!("mac={s} is no station's address; right would be, for example, mac=52:54:00:12:34:56")
    })
}

/// `tcp:ADDR:PORT-:PORT`, the first address possibly empty or in brackets.
fn forward(s: &str) -> Result<Forward, String> {
    let wrong = || format!("hostfwd={s}; right would be, for example, hostfwd=tcp:127.0.0.1:2222-:22");
    let (protocol, rest) = s.split_once(':').ok_or_else(wrong)?;
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return Err(wrong()),
    };
    let (host, guest) = rest.rsplit_once("-:").ok_or_else(wrong)?;
    let (address, port) = host.rsplit_once(':').ok_or_else(wrong)?;
    let address = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    let address = match address {
        "" => None,
        a => Some(a.parse::<IpAddr>().map_err(|_| wrong())?),
    };
    let number = |p: &str| p.parse::<u16>().ok().filter(|&p| p != 0).ok_or_else(wrong);
    Ok(Forward { protocol, address, host: number(port)?, guest: number(guest)? })
}

/// An address that stays the same for the same command line and is no other partition's: locally administered, from a
/// hash (FNV-1a).
fn made_up_mac(name: &str, arg: &str, n: usize) -> [u8; 6] {
    let text = format!("{name}\n{arg}\n{n}");
    let hash =
        text.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let [a, b, c, ..] = (hash ^ hash >> 32).to_be_bytes();
    [0x52, 0x54, 0, a, b, c]
}

/// What has to live as long as the partition.
#[derive(Default)]
pub struct Networks {
    _uplinks: Vec<Uplink>,
    /// The adapters.
    pub slots: Vec<NicSlot>,
}

/// Whether the words of a `--net` are right.
pub fn check(arg: &str) -> Result<(), Failure> {
    parse(arg).map(drop)
}

/// Opens all networks, in order. `name` is the partition's.
pub fn open_all(args: &[String], name: &str) -> Result<Networks, Failure> {
    open_with(args, name, &Switches::default())
}

/// The same, with switches that others are plugged into, too.
pub fn open_with(args: &[String], name: &str, switches: &Switches) -> Result<Networks, Failure> {
    let wanted = args.iter().map(|a| Ok((a, parse(a)?))).collect::<Result<Vec<_>, Failure>>()?;
    let mut used = BTreeMap::new();
    let mut out = Networks::default();
    for (n, (arg, w)) in wanted.into_iter().enumerate() {
        let failure = |e: String| Failure::usage(format!("--net {arg}: {e}"));
        let mac = w.mac.unwrap_or_else(|| made_up_mac(name, arg, n));
        if let Some(other) = used.insert(mac, arg) {
            return Err(failure(format!("its address is that of --net {other}; give it another with mac=")));
        }
        let port: Arc<dyn Port> = match w.network {
            Network::None => continue,
            Network::User => Arc::new(Passt::start(&w.forwards, mac).map_err(|e| match e {
                PasstError::Host(_) => Failure::internal(format!("--net {arg}: {e}")),
                _ => failure(e.to_string()),
            })?),
            Network::Tap(name) => Arc::new(Tap::open(&name).map_err(|e| failure(e.to_string()))?),
            Network::Socket { address, listen } => {
                let stream = if listen { socket::listen(&address) } else { socket::connect(&address) };
                Arc::new(stream.map_err(|e| failure(told(&e, listen)))?)
            }
            Network::Switch(name) => Arc::new(switches.get(&name).port(w.vlan)),
        };
        match w.uplink {
            Some(name) => out._uplinks.push(switches.get(&name).attach(port, PortConfig::default())),
            None => out.slots.push(NicSlot { port, model: w.model, mac }),
        }
    }
    Ok(out)
}

fn told(e: &std::io::Error, listen: bool) -> String {
    use std::io::ErrorKind;
    match e.kind() {
        ErrorKind::NotFound if !listen => {
            "there is no such socket; the other end has to listen first (socket=...,listen)".into()
        }
        ErrorKind::ConnectionRefused => "nobody listens there".into(),
        ErrorKind::AddrInUse => "it is in use".into(),
        _ => e.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_networks() {
        let w = parse("user,hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=udp:[::1]:53-:5353,mac=52:54:00:00:00:aa")
            .unwrap();
        assert_eq!((w.network, w.mac), (Network::User, Some([0x52, 0x54, 0, 0, 0, 0xaa])));
        let [a, b] = w.forwards[..] else { panic!() };
        assert_eq!((a.protocol, a.host, a.guest), (Protocol::Tcp, 2222, 22));
        assert_eq!((b.protocol, b.address), (Protocol::Udp, Some("::1".parse().unwrap())));
        assert_eq!(parse("user,hostfwd=tcp::80-:80").unwrap().forwards[0].address, None);
        let w = parse("switch=lan,vlan=7,tagged=8+9,trunk=1,model=veth").unwrap();
        assert_eq!(w.network, Network::Switch("lan".into()));
        assert_eq!(w.vlan, PortConfig { vlan: 7, tagged: [8, 9].into(), trunk: Some(1) });
        let w = parse("socket=/run/a,,b,listen").unwrap();
        assert_eq!(w.network, Network::Socket { address: Address::Unix("/run/a,b".into()), listen: true });
        let w = parse("socket=tcp:localhost:99").unwrap();
        assert_eq!(
            w.network,
            Network::Socket { address: Address::Tcp("localhost:99".into()), listen: false }
        );
        assert_eq!(parse("tap=tap0,uplink=lan").unwrap().uplink, Some("lan".into()));
        assert_eq!(parse("none").unwrap().network, Network::None);
    }

    #[test]
    fn wrong_words_are_told() {
        for (arg, word) in [
            ("", "user"),
            ("usr", "user"),
            ("user=1", "user"),
            ("tap", "tap="),
            ("tap=", "tap="),
            ("user,hostfwd=tcp:22", "hostfwd=tcp:127.0.0.1:2222-:22"),
            ("user,hostfwd=tcp:1.2.3.4:0-:22", "hostfwd"),
            ("user,hostfwd=icmp::1-:1", "hostfwd"),
            ("user,hostfwd=tcp:nowhere:80-:80", "hostfwd"),
            ("switch=a,hostfwd=tcp::1-:1", "user network"),
            ("switch=a,vlan=4095", "4094"),
            ("switch=a,tagged=0", "4094"),
            ("switch=a,trunk=0", "15"),
            ("user,vlan=1", "switch"),
            ("user,mac=1:2:3", "mac=52:54"),
            ("user,mac=01:00:00:00:00:01", "mac=52:54"),
            ("user,model=e1000", "virtio"),
            ("user,colour=red", "hostfwd"),
            ("socket=tcp:nowhere", "socket=tcp:HOST:PORT"),
            ("vhost-user=/x", "vhost-user"),
        ] {
            let e = parse(arg).unwrap_err();
            assert!(e.text.contains(word) && e.status == 2, "{arg}: {}", e.text);
        }
    }

    #[test]
    fn addresses_differ_and_stay() {
        let a = made_up_mac("x", "user", 0);
        assert_eq!(a, made_up_mac("x", "user", 0));
        assert!(a != made_up_mac("x", "user", 1) && a != made_up_mac("y", "user", 0));
        let same = ["switch=a,mac=52:54:00:00:00:01".to_owned(), "switch=b,mac=52:54:00:00:00:01".to_owned()];
        assert_eq!(open_all(&same, "x").err().unwrap().status, 2);
        assert!(open_all(&["tap=no-such-if".into()], "x").err().unwrap().text.contains("no interface"));
        assert!(open_all(&["socket=/no/such".into()], "x").err().unwrap().text.contains("no such socket"));
    }
}
