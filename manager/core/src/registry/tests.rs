//! How registries let someone in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::testing::{Asked, Honest, Reply, Scripted, impatient};
use super::token::Access;
use super::{Credentials, Failure, Received, Registries};
use crate::error::{Error, Kind};
use crate::image::Reference;

fn alice() -> Credentials {
    Credentials {
        username: "alice".to_owned(),
        password: "secret".to_owned(),
        ..Credentials::default()
    }
}

/// `alice:secret`
const BASIC: &str = "Basic YWxpY2U6c2VjcmV0";

async fn manifest_with(
    registries: &Arc<Registries>,
    name: &Reference,
    credentials: Credentials,
) -> Result<Received, Failure> {
    let session = registries.session(name, Access::Pull, credentials).await.unwrap();
    session.manifest(name).await
}

async fn manifest(name: &Reference, credentials: Credentials) -> Result<Received, Error> {
    let registries = Registries::new(impatient());
    manifest_with(&registries, name, credentials).await.map_err(|failure| failure.of_pull(name))
}

fn honest() -> Honest {
    let mut honest = Honest::default();
    honest.image("1", &[]);
    honest
}

/// A registry that wants a token of its own service at `/token`, which gives `token-1`, `token-2`
/// and so on, to be used at most `uses` times each.
async fn with_tokens(grant: fn(&Asked) -> bool, uses: usize) -> Scripted {
    let (given, used) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let honest = honest();
    Scripted::start(move |asked| {
        if asked.path.starts_with("/token") {
            if !grant(asked) {
                return Reply::error(401, "UNAUTHORIZED");
            }
            let number = given.fetch_add(1, Ordering::Relaxed) + 1;
            used.store(0, Ordering::Relaxed);
            // Longer than any clock can tell, or hardly at all.
            let life = if uses > 1 { u64::MAX } else { 1 };
            return Reply::new(
                200,
                format!("{{\"token\":\"token-{number}\",\"expires_in\":{life}}}"),
            );
        }
        let good = format!("Bearer token-{}", given.load(Ordering::Relaxed));
        let shown = asked.header("authorization") == Some(&good);
        if shown && used.fetch_add(1, Ordering::Relaxed) < uses {
            return honest.answer(asked);
        }
        let host = asked.header("host").unwrap_or_default();
        let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"test\"");
        Reply::error(401, "UNAUTHORIZED").with("www-authenticate", challenge)
    })
    .await
}

#[tokio::test]
async fn a_token_is_got_for_the_repository_and_kept() {
    let registry =
        with_tokens(|asked| asked.header("authorization") == Some(BASIC), usize::MAX).await;
    let registries = Registries::new(impatient());
    let name = registry.image("x/y:1");
    for _ in 0..2 {
        manifest_with(&registries, &name, alice()).await.unwrap();
    }
    let expected = "GET /token?account=alice&scope=repository%3Ax%2Fy%3Apull&service=test";
    assert_eq!(registry.asked_for("/token"), [expected]);
    // Someone else gets nothing by it.
    let nobody = manifest_with(&registries, &name, Credentials::default()).await;
    assert!(matches!(nobody, Err(Failure::Refused(_))), "{nobody:?}");
}

#[tokio::test]
async fn a_token_that_is_no_longer_good_is_renewed() {
    let registry = with_tokens(|_| true, 1).await;
    let registries = Registries::new(impatient());
    let name = registry.image("x:1");
    let session = registries.session(&name, Access::Pull, alice()).await.unwrap();
    for _ in 0..3 {
        session.manifest(&name).await.unwrap();
    }
    assert_eq!(registry.asked_for("/token").len(), 3);
}

#[tokio::test]
async fn an_identity_token_is_shown_instead_of_the_password() {
    let registry = with_tokens(
        |asked| {
            let body = String::from_utf8_lossy(&asked.body);
            asked.method == "POST"
                && body.contains("grant_type=refresh_token")
                && body.contains("refresh_token=known")
        },
        usize::MAX,
    )
    .await;
    let identity_token = "known".to_owned();
    let credentials = Credentials { identity_token, ..Credentials::default() };
    manifest(&registry.image("x:1"), credentials).await.unwrap();
}

#[tokio::test]
async fn who_is_sent_on_to_does_not_get_to_ask_for_the_password() {
    let curious = Scripted::start(|asked| {
        let host = asked.header("host").unwrap_or_default();
        let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"curious\"");
        Reply::error(401, "UNAUTHORIZED").with("www-authenticate", challenge)
    })
    .await;
    let elsewhere = format!("http://{}/v2/", curious.address);
    let registry =
        Scripted::start(move |_| Reply::new(307, "").with("location", elsewhere.clone())).await;
    manifest(&registry.image("x:1"), alice()).await.unwrap_err();
    assert!(!curious.asked().is_empty(), "nobody was sent on");
    assert_eq!(curious.asked_for("/token"), [""; 0]);
}

#[tokio::test]
async fn wrong_credentials_are_told_at_once() {
    let registry = with_tokens(|_| false, usize::MAX).await;
    let error = manifest(&registry.image("x:1"), alice()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    assert!(error.to_string().ends_with("unauthorized: unauthorized"), "{error}");
    assert_eq!(registry.asked_for("/token").len(), 1);
}

async fn with_password() -> Scripted {
    let honest = honest();
    Scripted::start(move |asked| match asked.header("authorization") {
        Some(BASIC) => honest.answer(asked),
        _ => Reply::error(401, "UNAUTHORIZED").with("www-authenticate", "Basic realm=\"test\""),
    })
    .await
}

#[tokio::test]
async fn a_password_is_shown_where_it_is_asked_for() {
    let registry = with_password().await;
    manifest(&registry.image("x:1"), alice()).await.unwrap();
    let wrong = Credentials { password: "wrong".to_owned(), ..alice() };
    let error = manifest(&registry.image("x:1"), wrong).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    let error = manifest(&registry.image("x:1"), Credentials::default()).await.unwrap_err();
    let expected =
        format!("Get \"http://{}/v2/x/manifests/1\": no basic auth credentials", registry.address);
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn logging_in_tries_the_credentials() {
    let registry = with_password().await;
    let registries = Registries::new(impatient());
    let at = |credentials| Credentials { server: registry.address.to_string(), ..credentials };
    let logged_in = registries.login(at(alice())).await.unwrap();
    assert_eq!(logged_in.identity_token, None);
    let wrong = Credentials { password: "wrong".to_owned(), ..alice() };
    let error = registries.login(at(wrong)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    let expected = format!(
        "login attempt to http://{}/v2/ failed with status: 401 Unauthorized",
        registry.address
    );
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn another_host_is_shown_nothing() {
    let honest = honest();
    let elsewhere = Scripted::start(move |asked| match asked.header("authorization") {
        Some(_) => Reply::error(400, "SHOWN"),
        None => honest.answer(asked),
    })
    .await;
    let other = elsewhere.address;
    let registry = Scripted::start(move |asked| match asked.header("authorization") {
        Some(BASIC) => {
            Reply::new(307, "").with("location", format!("http://{other}{}", asked.path))
        }
        _ => Reply::error(401, "UNAUTHORIZED").with("www-authenticate", "Basic realm=\"test\""),
    })
    .await;
    manifest(&registry.image("x:1"), alice()).await.unwrap();
    assert_eq!(elsewhere.asked().len(), 1);
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    for status in [429, 500, 503] {
        let (honest, count) = (honest(), AtomicUsize::new(0));
        let registry = Scripted::start(move |asked| match count.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => Reply::error(status, "TOOMANYREQUESTS").with("retry-after", "0"),
            _ => honest.answer(asked),
        })
        .await;
        manifest(&registry.image("x:1"), Credentials::default()).await.unwrap();
        assert_eq!(registry.asked().len(), 3);
    }
    let registry = Scripted::start(|_| Reply::error(500, "UNKNOWN")).await;
    let error = manifest(&registry.image("x:1"), Credentials::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "unknown: unknown");
    assert_eq!(registry.asked().len(), 3);
}

#[tokio::test]
async fn a_registry_that_asks_for_too_much_patience_is_left() {
    let registry =
        Scripted::start(|_| Reply::error(429, "TOOMANYREQUESTS").with("retry-after", "86400"))
            .await;
    let error = manifest(&registry.image("x:1"), Credentials::default()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert_eq!(registry.asked().len(), 1);
}

#[tokio::test]
async fn nobody_at_home_is_told_with_the_address() {
    let name = Reference::parse("127.0.0.1:1/x:1").unwrap();
    let error = manifest(&name, Credentials::default()).await.unwrap_err().to_string();
    let expected =
        "Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused";
    assert_eq!(error, expected);
}

#[tokio::test]
async fn a_name_is_described_without_its_layers() {
    let honest = honest();
    let registry = Scripted::start(move |asked| honest.answer(asked)).await;
    let registries = Registries::new(impatient());
    let name = registry.image("x:1");
    let described = registries.describe(&name, Credentials::default()).await.unwrap();
    assert_eq!(described.media_type, "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(described.platforms[0].architecture, "amd64");
}

#[tokio::test]
async fn a_proxy_is_on_the_way() {
    let honest = honest();
    let proxy = Scripted::start(move |asked| honest.answer(asked)).await;
    let mut settings = impatient();
    settings.insecure.add("registry.invalid:5000").unwrap();
    settings.proxies.http = Some(format!("http://{}", proxy.address));
    let name = Reference::parse("registry.invalid:5000/x:1").unwrap();
    let registries = Registries::new(settings.clone());
    manifest_with(&registries, &name, Credentials::default()).await.unwrap();
    let expected = "GET http://registry.invalid:5000/v2/x/manifests/1";
    assert_eq!(proxy.asked_for("/"), [expected]);

    settings.proxies.without = Some("other.test,registry.invalid:5000".to_owned());
    let registries = Registries::new(settings);
    let direct = manifest_with(&registries, &name, Credentials::default()).await;
    assert!(matches!(direct, Err(Failure::Broken { connected: false, .. })), "{direct:?}");
    assert_eq!(proxy.asked().len(), 1);
}
