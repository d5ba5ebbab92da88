//! The API over real connections: logging in, changing things, and what must not work.

mod support;

use mist_server::config::{ConfigStore, Overrides};
use mist_server::session::{Client as Who, Kind, Open};
use serde_json::{Value, json};
use support::{Server, answer, md5, with_account};

/// Makes a request from this machine count as one from elsewhere.
const REMOTE: (&str, &str) = ("X-Real-IP", "192.0.2.7");

fn login(user: &str, password: &str) -> Value {
    json!({"authorize": {"username": user, "password": password}, "minimal": 1})
}

#[tokio::test]
async fn log_in_by_challenge_and_stay_logged_in_on_the_connection() {
    let s = Server::memory(with_account("me", "secret")).await;
    let mut c = s.client().await;
    let r = c.json(&[REMOTE], &json!({"config": true, "minimal": 1})).await;
    assert_eq!(r["authorize"]["status"], "CHALL");
    assert_eq!(r.as_object().unwrap().len(), 1, "nothing but the challenge: {r}");
    let challenge = r["authorize"]["challenge"].as_str().unwrap().to_owned();
    let wrong = c.json(&[REMOTE], &login("me", &answer("wrong", &challenge))).await;
    assert_eq!(wrong, r);
    let ok = c.json(&[REMOTE], &login("me", &answer("secret", &challenge))).await;
    assert_eq!(ok, json!({"LTS": 1, "authorize": {"status": "OK"}}));
    let later = c.json(&[REMOTE], &json!({"minimal": 1, "active_streams": true})).await;
    assert_eq!(later, json!({"LTS": 1, "active_streams": [], "authorize": {"status": "OK"}}));
    // Another client behind the same proxy connection, a page of another origin, another connection.
    for headers in [&[("X-Real-IP", "192.0.2.8")][..], &[REMOTE, ("Origin", "http://evil.example")]] {
        let r = c.json(headers, &json!({"minimal": 1, "config": true})).await;
        assert_eq!((&r["authorize"]["status"], r.get("config")), (&json!("CHALL"), None), "{headers:?}");
    }
    assert_eq!(s.ask_as(&[REMOTE], json!({})).await["authorize"]["status"], "CHALL");
    // A new password ends what the old one opened.
    s.api.config().set_account("me", &md5("new"));
    assert_eq!(c.json(&[REMOTE], &json!({})).await["authorize"]["status"], "CHALL");
}

#[tokio::test]
async fn log_in_by_header() {
    let s = Server::memory(with_account("me", "secret")).await;
    let header = |password: &str| format!("json {}", json!({"username": "me", "password": password}));
    let mut c = s.client().await;
    let r = c.send("POST", "/api", &[REMOTE, ("Authorization", &header("x-echo-x"))], b"").await;
    assert_eq!(
        (r.status, r.header("content-length"), r.header("connection")),
        (403, Some("0"), Some("close"))
    );
    assert!(r.head.starts_with("HTTP/1.1 403 Not authorized\r\n"), "{}", r.head);
    assert!(!r.head.contains("x-echo-x"), "{}", r.head);
    let told: Value =
        serde_json::from_str(r.header("www-authenticate").unwrap().strip_prefix("json ").unwrap()).unwrap();
    assert_eq!(told["status"], "CHALL");
    let right = header(&answer("secret", told["challenge"].as_str().unwrap()));
    let r = s.client().await.send("GET", "/api2", &[REMOTE, ("Authorization", &right)], b"").await;
    assert_eq!((r.status, r.header("www-authenticate")), (200, None));
    assert_eq!(r.json(), json!({"LTS": 1, "authorize": {"status": "OK"}}));
    let r = s.client().await.send("GET", "/api2", &[REMOTE, ("Authorization", "json {bad")], b"").await;
    assert_eq!(r.status, 403);
    // Other schemes are for a proxy in front.
    let r = s.client().await.send("GET", "/api2", &[("Authorization", "Basic eDp5")], b"").await;
    assert_eq!(r.json()["authorize"]["status"], "OK");
}

#[tokio::test]
async fn guessing_is_stopped() {
    let s = Server::memory(with_account("me", "secret")).await;
    let r = s.ask_as(&[REMOTE], login("me", "")).await;
    let right = answer("secret", r["authorize"]["challenge"].as_str().unwrap());
    for _ in 0..mist_server::api::auth::limits::PER_ADDRESS {
        s.ask_as(&[REMOTE], login("me", "guess")).await;
    }
    assert_eq!(s.ask_as(&[REMOTE], login("me", &right)).await["authorize"]["status"], "CHALL");
    assert_eq!(s.ask(json!({"minimal": 1})).await["authorize"]["status"], "OK", "others are not held up");
}

#[tokio::test]
async fn the_first_account_is_made_on_this_machine_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.json");
    let s = Server::start(ConfigStore::load(&path, Overrides::default()).unwrap()).await;
    let make = json!({"authorize": {"new_username": "me", "new_password": "secret"}, "minimal": 1});
    let noacc = json!({"authorize": {"status": "NOACC"}});
    assert_eq!(s.ask_as(&[REMOTE], make.clone()).await, noacc);
    assert_eq!(s.ask_as(&[("Origin", "http://evil.example")], make.clone()).await, noacc);
    assert_eq!(s.ask_as(&[("Host", "evil.example:4242")], make.clone()).await, noacc);
    assert_eq!(s.ask(json!({"minimal": 1})).await, json!({"LTS": 1, "authorize": {"status": "NOACC"}}));
    let r = s.ask(make.clone()).await;
    assert_eq!(r["authorize"]["status"], "ACC_MADE");
    let saved: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(saved, with_account("me", "secret"), "on the disk at once");
    let again = json!({"authorize": {"new_username": "you", "new_password": "x"}, "minimal": 1});
    s.ask(again).await;
    assert_eq!(s.api.config().current().accounts().count(), 1);
    for reply in [s.ask(json!({})).await, s.ask(json!({"config": true, "save": true, "account": true})).await]
    {
        assert!(!reply.to_string().contains(&md5("secret")), "hashes stay inside");
    }
}

#[tokio::test]
async fn pages_of_other_origins_can_not_act() {
    let s = Server::memory(with_account("me", "secret")).await;
    let evil =
        "/api?command=%7B%22addstream%22%3A%7B%22x%22%3A%7B%22source%22%3A%22push%3A%2F%2F%22%7D%7D%7D";
    let attempts: &[&[(&str, &str)]] = &[
        &[("Sec-Fetch-Site", "cross-site"), ("User-Agent", "Mozilla/5.0")],
        &[("Referer", "http://evil.example/"), ("User-Agent", "Mozilla/5.0")],
        &[("User-Agent", "Mozilla/5.0 (without a word on the page)")],
        &[("Origin", "null")],
        &[("Host", "evil.example"), ("Origin", "http://evil.example")],
        &[("X-Forwarded-For", "127.0.0.1")],
        &[("Via", "1.1 proxy")],
    ];
    for headers in attempts {
        let r = s.client().await.send("GET", evil, headers, b"").await;
        assert_eq!(r.json()["authorize"]["status"], "CHALL", "{headers:?}");
    }
    // A form and a script tag.
    let form = &evil.as_bytes()[5..];
    let headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Origin", "http://evil.example")];
    s.client().await.send("POST", "/api", &headers, form).await;
    s.client()
        .await
        .send("POST", "/api", &[("Content-Type", "text/plain")], b"{\"addstream\":{\"x\":{}}}")
        .await;
    let r = s.client().await.send("GET", &format!("{evil}&callback=cb"), &[], b"").await;
    assert!(
        r.body.starts_with("cb({\"authorize\":{\"challenge\":") && r.body.ends_with("});\n\n"),
        "{}",
        r.body
    );
    let r = s.client().await.send("OPTIONS", evil, &[], b"").await;
    assert_eq!((r.status, r.body.as_str(), r.header("access-control-allow-origin")), (200, "", Some("*")));
    let r = s.client().await.send("DELETE", evil, &[], b"").await;
    assert_eq!(r.status, 405);
    assert!(s.api.config().current().streams().is_empty());
    // The same by a tool on this machine.
    s.client().await.send("GET", evil, &[("User-Agent", "curl/8.1")], b"").await;
    assert!(s.api.config().current().stream("x").is_some());
}

#[tokio::test]
async fn streams_are_added_saved_and_loaded_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.json");
    std::fs::write(&path, r#"{"future": {"k": 1}, "streams": {"Old-One": {"source": "push://"}}}"#).unwrap();
    let s = Server::start(ConfigStore::load(&path, Overrides::default()).unwrap()).await;
    let r = s.ask(json!({"addstream": {"new": {"source": "push://@pw", "DVR": 60000, "foo": "bar", "online": 1}}, "minimal": 1})).await;
    assert_eq!(
        r["streams"],
        json!({"incomplete list": 1, "new": {"name": "new", "source": "push://@pw", "DVR": 60000, "foo": "bar"}})
    );
    assert_eq!(s.api.config().current().stream("new").unwrap().dvr_ms, 60000);
    // The name of the file's spelling is the same stream.
    s.ask(json!({"addstream": {"oldone": {"source": "push://x"}}, "save": true})).await;
    let again = ConfigStore::load(&path, Overrides::default()).unwrap().current();
    assert_eq!(again.document()["streams"].as_object().unwrap().len(), 2);
    assert_eq!(again.document()["future"]["k"], 1);
    assert_eq!(again.stream("oldone").unwrap().source, "push://x");
    // Reading never wipes, whatever is sent.
    for v in [json!(true), json!(null), json!([]), json!("x"), json!(0)] {
        let r = s.ask(json!({"streams": v, "minimal": 1})).await;
        assert_eq!(r["streams"].as_object().unwrap().len(), 2, "{v}");
    }
    // A client that writes back what it read changes nothing.
    let read = s.ask(json!({"streams": true, "minimal": 1})).await["streams"].clone();
    s.ask(json!({"streams": read, "minimal": 1})).await;
    assert_eq!(s.ask(json!({"streams": true, "minimal": 1})).await["streams"], read);
    for form in [json!("new"), json!(["new"]), json!({"new": {}})] {
        s.ask(json!({"addstream": {"new": {"source": "push://"}}})).await;
        let r = s.ask(json!({"deletestream": form, "minimal": 1})).await;
        assert_eq!(r["streams"], json!({"incomplete list": 1}));
        assert!(s.api.config().current().stream("new").is_none());
    }
    let r = s.ask(json!({"streams": {}, "minimal": 1})).await;
    assert_eq!(r["streams"], json!({}));
    assert!(s.api.config().current().streams().is_empty());
}

#[tokio::test]
async fn commands_to_run_come_from_the_file_only() {
    let s = Server::memory(json!({})).await;
    s.ask(json!({
        "addstream": {"a": {"source": "ts-exec:touch x"}},
        "config": {"controller": {"allow_exec": true, "port": 5000}, "triggers": {"SYSTEM_START": [{"handler": "/bin/x"}]}},
    }))
    .await;
    s.ask(json!({"streams": {"a": {"source": "exec:x"}}, "config": {"controller": {"allow_exec": true}}}))
        .await;
    let c = s.api.config().current();
    assert!(c.streams().is_empty() && !c.allow_exec());
    assert!(c.document().pointer("/config/triggers").is_none());
    let s = Server::memory(json!({"config": {"controller": {"allow_exec": true}}})).await;
    s.ask(json!({"config": {"controller": null}, "addstream": {"a": {"source": "ts-exec:true"}}})).await;
    assert!(s.api.config().current().stream("a").is_some(), "and the API can't take the switch away either");
}

#[tokio::test]
async fn outputs_are_matched_exactly() {
    let s = Server::memory(json!({})).await;
    let outputs = async || s.ask(json!({"config": true, "minimal": 1})).await["config"]["protocols"].clone();
    let count = outputs().await.as_array().unwrap().len();
    let a = json!({"connector": "HTTP", "port": 8081, "interface": "127.0.0.1"});
    s.ask(json!({"addprotocol": [a, a, {"connector": "NOPE"}, {"connector": "HTTP", "port": 60001}]})).await;
    let list = outputs().await;
    assert_eq!(list.as_array().unwrap().len(), count + 3);
    assert_eq!(
        list[count],
        json!({"connector": "HTTP", "port": 8081, "interface": "127.0.0.1", "online": 1})
    );
    assert_eq!(
        (&list[count + 1]["online"], &list[count + 2]["online"]),
        (&json!("Not installed"), &json!(0))
    );
    s.ask(json!({"deleteprotocol": {"connector": "HTTP", "port": 8081}})).await;
    assert_eq!(outputs().await, list, "a part is no match");
    s.ask(json!({"updateprotocol": [list[count], {"connector": "HTTP", "port": 60001}]})).await;
    assert_eq!(outputs().await.as_array().unwrap().len(), count + 2, "duplicates are dropped");
    s.ask(json!({"addprotocol": [{"connector": "HTTP", "port": 70000}, {}]})).await;
    let list = outputs().await;
    assert_eq!(list[count + 2]["online"], "Invalid configuration");
    assert_eq!(list[count + 3]["online"], "Missing connector name");
    s.ask(json!({"config": {"protocols": null}})).await;
    assert_eq!(outputs().await.as_array().unwrap().len(), count);
}

#[tokio::test]
async fn requests_in_every_form() {
    let s = Server::memory(json!({})).await;
    let want = json!({"LTS": 1, "active_streams": [], "authorize": {"status": "NOACC"}});
    let form = "command=%7B%22active_streams%22%3Atrue%2C%22minimal%22%3A1%7D";
    let json_body = br#"{"active_streams":true,"minimal":1}"#;
    let form_type = ("Content-Type", "application/x-www-form-urlencoded");
    let mut c = s.client().await;
    for path in ["/api", "/api2", "/", "/anything"] {
        let r = c.send("GET", &format!("{path}?{form}"), &[], b"").await;
        assert_eq!((r.json(), r.header("content-type")), (want.clone(), Some("text/javascript")), "{path}");
    }
    assert_eq!(c.send("POST", "/api", &[form_type], form.as_bytes()).await.json(), want);
    for t in ["application/json", "application/json; charset=utf-8", "text/json"] {
        assert_eq!(c.send("POST", "/api", &[("Content-Type", t)], json_body).await.json(), want, "{t}");
    }
    assert_eq!(
        c.send("GET", "/api2", &[], b"").await.json(),
        json!({"LTS": 1, "authorize": {"status": "NOACC"}})
    );
    // What can't be read is an empty request, with the full answer.
    for body in [&b"{bad"[..], b"", b"[1]"] {
        let r = c.send("POST", "/api", &[("Content-Type", "application/json")], body).await.json();
        let keys: Vec<&String> = r.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["LTS", "authorize", "config", "log", "streams"]);
    }
}

#[tokio::test]
async fn hostile_requests_end_only_themselves() {
    let s = Server::memory(json!({})).await;
    let deep = [br#"{"addstream":"#.as_slice(), &vec![b'['; 100_000], b"}"].concat();
    let r = s.client().await.send("POST", "/api", &[("Content-Type", "application/json")], &deep).await;
    assert!(r.json().get("config").is_some(), "as an empty request");
    // Declared too large: refused before a byte of it is taken.
    let r = s
        .client()
        .await
        .raw(b"POST /api HTTP/1.1\r\nHost: localhost\r\nContent-Length: 104857600\r\n\r\n")
        .await;
    assert_eq!((r.status, r.header("connection")), (413, Some("close")));
    // The same without saying so.
    let mut c = s.client().await;
    let head = b"POST /api HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n500000\r\n";
    let r = c.raw(&[head.as_slice(), &vec![b'x'; 0x50_0000], b"\r\n0\r\n\r\n"].concat()).await;
    assert_eq!(r.status, 413);
    for bad in [
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: -1",
        "Content-Length: 99999999999999999999",
    ] {
        let r =
            s.client().await.raw(format!("POST /api HTTP/1.1\r\nHost: x\r\n{bad}\r\n\r\n").as_bytes()).await;
        assert_eq!(r.status, 400, "{bad}");
    }
    let names = json!({"addstream": {"": {}, "../../etc": {"source": []}, "a\r\nb": 7, "x\u{0}": {}, "y".repeat(70_000): {}}});
    s.ask(names).await;
    let all = s.ask(json!({"streams": true, "minimal": 1})).await;
    assert_eq!(
        all["streams"],
        json!({"etc": {"name": "etc", "source": [], "online": 0,
        "error": "Stream offline: Missing source parameter!"}, "x": {"name": "x", "online": 0,
        "error": "Stream offline: Missing source parameter!"}})
    );
}

#[tokio::test]
async fn log_ui_settings_and_clearing() {
    let s = Server::memory(json!({})).await;
    s.log.access("one\r\n<script>alert(1)</script>");
    let r = s.ask(json!({"log": true, "clearstatlogs": true, "minimal": 1})).await;
    assert_eq!(r["log"][0][1], "ACCS");
    assert_eq!(r["log"][0][2], "one\\r\\n<script>alert(1)</script>");
    assert!(r["log"][0][0].is_u64());
    assert_eq!(s.ask(json!({"log": true, "minimal": 1})).await["log"], json!([]));
    let kept = json!({"hello": {"a": [1, 2.5, null, true, "é"]}});
    assert_eq!(s.ask(json!({"ui_settings": true})).await["ui_settings"], json!({}));
    assert_eq!(s.ask(json!({"ui_settings": kept})).await["ui_settings"], kept);
    assert_eq!(s.ask(json!({"ui_settings": true})).await["ui_settings"], kept);
}

#[tokio::test]
async fn active_streams_in_all_forms() {
    let s = Server::memory(json!({})).await;
    let live = mist_server::api::ActiveStream {
        name: "live".into(),
        status: "Online",
        last_ms: 306_676,
        tracks: 2,
        ..Default::default()
    };
    s.facts.0.lock().unwrap().push(live);
    let open = |kind| {
        let o = Open {
            host: [10, 0, 0, 1].into(),
            stream: "live",
            connector: "RTMP",
            kind,
            client: Who::Connection,
        };
        s.sessions.open(&o).unwrap()
    };
    let (source, _a, b) = (open(Kind::Input), open(Kind::Viewer), open(Kind::Viewer));
    let ask =
        async |v: Value| s.ask(json!({"active_streams": v, "minimal": 1})).await["active_streams"].clone();
    assert_eq!(ask(json!(true)).await, json!(["live"]));
    assert_eq!(ask(json!({})).await, json!(["live"]));
    assert_eq!(ask(json!(["clients", "lastms", "nope"])).await, json!({"live": [3, 306676, null]}));
    drop(b);
    assert_eq!(
        ask(json!({"longform": true, "fields": ["viewers", "inputs", "status"]})).await,
        json!({"live": {"viewers": 1, "inputs": 1, "status": "Online"}})
    );
    let r = ask(json!({"fields": [], "streams": ["live", "x"]})).await;
    assert_eq!(r["fields"].as_array().unwrap().len(), r["data"]["live"].as_array().unwrap().len());
    drop(source);
    s.facts.0.lock().unwrap().clear();
    let stats =
        async |v: Value| s.ask(json!({"stats_streams": v, "minimal": 1})).await["stats_streams"].clone();
    assert_eq!(stats(json!(true)).await, json!(["live"]));
    assert_eq!(stats(json!(["clients", "lastms"])).await, json!({"live": [2, -1]}));
}

#[tokio::test]
async fn the_page_is_safe_to_look_at() {
    let s = Server::memory(json!({})).await;
    let mut c = s.client().await;
    for path in ["/", "/index.html", "/../../etc/passwd"] {
        let r = c.send("GET", path, &[], b"").await;
        assert_eq!(r.header("x-info"), Some("To force an API response, request the file /api"), "{path}");
        assert!(r.body.starts_with("<!doctype html>"), "{path}");
        let policy = r.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        assert!(!r.body.contains("style=") && !r.body.contains("onclick"), "the policy would not let it run");
    }
    let script = c.send("GET", "/api.js", &[], b"").await;
    assert_eq!(script.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert!(!script.body.contains("innerHTML"));
    assert_eq!(c.send("GET", "/api.css", &[], b"").await.status, 200);
}
