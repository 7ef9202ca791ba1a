//! Sessions from end to end, with a client in the same process.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tare_core::Kind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::health::Patience;
use super::testing::{CRUMBS, Has, serve, session};
use super::{Introduction, Sessions, auth, content, secrets, send, ssh, upload};

/// So long that it is a failure.
const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn who_wants_a_session_waits_for_it_and_is_woken_when_it_is_lost() {
    let (sessions, has) = (Sessions::default(), Arc::<Has>::default());
    let waiting = tokio::spawn({
        let sessions = sessions.clone();
        async move { sessions.find("group:late").await }
    });
    let serving = serve(&sessions, "late", &has, Patience::default());
    let session = tokio::time::timeout(LONG, waiting).await.unwrap().unwrap();
    assert!(session.offers("/moby.filesync.v1.FileSync/DiffCopy") && !session.offers("/x/Y"));

    let taken = Introduction { id: "late".to_owned(), ..Introduction::default() };
    let error = sessions.admit(taken.clone()).err().unwrap();
    assert_eq!(
        (error.kind, error.message.as_str()),
        (Kind::Conflict, "session late already exists")
    );

    serving.client.abort();
    tokio::time::timeout(LONG, session.lost()).await.unwrap();
    let error = secrets::secret(&session, "known").await.unwrap_err();
    assert!(error.message.contains("no active session for late"), "{error}");
    let missing = sessions.find_within("late", Duration::from_millis(1)).await.unwrap_err();
    assert!(missing.message.contains("no active session for late"), "{missing}");
    // Its place is free again.
    drop(sessions.admit(taken).unwrap());
}

#[tokio::test]
async fn a_client_that_does_not_answer_any_more_is_lost() {
    let (sessions, has) = (Sessions::default(), Arc::new(Has { ill: true, ..Has::default() }));
    let soon = Duration::from_millis(10);
    let _serving = serve(&sessions, "ill", &has, Patience { interval: soon, answer: soon });
    let session = sessions.find("ill").await;
    tokio::time::timeout(LONG, session.lost()).await.unwrap();
}

#[tokio::test]
async fn noise_instead_of_a_session_ends_it() {
    let sessions = Sessions::default();
    let introduction = Introduction { id: "noise".to_owned(), ..Introduction::default() };
    let (ours, mut theirs) = tokio::io::duplex(1 << 10);
    let serving = tokio::spawn(sessions.admit(introduction).unwrap().serve(ours));
    theirs.write_all(&[b'x'; 500]).await.unwrap();
    tokio::time::timeout(LONG, serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn secrets_and_credentials_are_those_of_the_client() {
    let (session, _serving) = session(&Arc::default()).await;
    assert_eq!(secrets::secret(&session, "known").await.unwrap().unwrap(), b"hush\0\xff");
    assert_eq!(secrets::secret(&session, "unknown").await.unwrap(), None);
    secrets::secret(&session, "large").await.unwrap_err();

    let credentials = auth::credentials(&session, "private").await.unwrap().unwrap();
    assert_eq!((credentials.username.as_str(), credentials.secret.as_str()), ("someone", "secret"));
    assert!(!format!("{credentials:?}").contains("secret"));
    assert_eq!(auth::credentials(&session, "public").await.unwrap(), None);
    assert_eq!(auth::credentials(&session, "broken").await.unwrap_err().message, "no helper");
    let mut challenge = auth::Challenge {
        host: "private".to_owned(),
        realm: "https://tokens".to_owned(),
        service: "registry".to_owned(),
        scopes: vec!["repository:a:pull".to_owned()],
    };
    let token = auth::token(&session, &challenge).await.unwrap().unwrap();
    assert_eq!(token.token, "https://tokens?repository:a:pull");
    challenge.realm.clear();
    assert!(auth::token(&session, &challenge).await.unwrap().is_none());
}

#[tokio::test]
async fn connections_to_an_agents_socket_reach_the_client() {
    let (has, place) = (Arc::<Has>::default(), tempfile::tempdir().unwrap());
    let (session, _serving) = session(&has).await;
    assert!(ssh::has_agent(&session, "default").await.unwrap());
    assert!(!ssh::has_agent(&session, "other").await.unwrap());
    // However long the path is: addresses of sockets are short.
    let deep = place.path().join("x".repeat(200));
    let access = ssh::Access { uid: 1000, gid: 1001, mode: 0o600 };
    let agent = ssh::agent(&session, "default", access, &deep).unwrap();
    let file = agent.path().metadata().unwrap();
    assert_eq!((file.uid(), file.gid(), file.permissions().mode() & 0o777), (1000, 1001, 0o600));
    use std::os::fd::AsRawFd;
    let address = format!("/proc/self/fd/{}", agent.file().as_raw_fd());
    for text in ["hello", "again"] {
        let mut connection = UnixStream::connect(&address).await.unwrap();
        connection.write_all(text.as_bytes()).await.unwrap();
        let mut answer = [0; 5];
        connection.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, text.as_bytes());
        connection.shutdown().await.unwrap();
        assert_eq!(connection.read(&mut answer).await.unwrap(), 0);
    }
    let said = has.said.lock().unwrap()[0].get("buildkit.ssh.id").unwrap().clone();
    assert_eq!(said, "default");
    drop(agent);
    assert_eq!(deep.read_dir().unwrap().count(), 0);
}

#[tokio::test]
async fn what_a_client_was_given_to_pass_on_comes_in_pieces() {
    let has = Arc::<Has>::default();
    let (session, _serving) = session(&has).await;
    let mut upload = upload::Upload::open(&session, "buildkit-session", "/id").await.unwrap();
    let mut all = Vec::new();
    while let Some(piece) = upload.next().await.unwrap() {
        all.extend_from_slice(&piece);
    }
    assert_eq!(all, b"a tar in two pieces");
    assert_eq!(has.said.lock().unwrap()[0].get("urlpath").unwrap(), "/id");
}

#[tokio::test]
async fn many_small_pieces_may_wait() {
    let (sent, mut on_their_way) = tokio::sync::watch::channel(0);
    let has = Arc::new(Has { crumbs: Some(Arc::new(sent)), ..Has::default() });
    let (session, _serving) = session(&has).await;
    let mut uploads = Vec::new();
    for _ in 0..3 {
        uploads.push(upload::Upload::open(&session, "host", "/id").await.unwrap());
    }
    // Nobody reads them until the windows are nearly full.
    let full = on_their_way.wait_for(|sent| *sent > 3 * 9000);
    drop(tokio::time::timeout(LONG, full).await.unwrap().unwrap());
    for mut upload in uploads {
        let mut count = 0;
        while upload.next().await.unwrap().is_some() {
            count += 1;
        }
        assert_eq!(count, CRUMBS);
    }
}

#[tokio::test]
async fn blobs_are_read_from_the_client_and_written_to_it() {
    let has = Arc::<Has>::default();
    let (session, _serving) = session(&has).await;
    let store = content::Store::new(&session, "local:/cache");
    assert_eq!(store.size("sha256:a").await.unwrap(), None);
    assert_eq!(store.read_all("sha256:a", 100).await.unwrap_err().kind, Kind::NotFound);
    let blob = vec![7; 3 << 20];
    let mut writer = store.write("sha256:a", blob.len() as i64).await.unwrap().unwrap();
    writer.write(Bytes::from(blob.clone())).await.unwrap();
    writer.commit().await.unwrap();
    assert_eq!(store.size("sha256:a").await.unwrap(), Some(3 << 20));
    assert!(store.write("sha256:a", 1).await.unwrap().is_none());
    assert_eq!(store.read_all("sha256:a", blob.len()).await.unwrap(), blob);
    store.read_all("sha256:a", 1000).await.unwrap_err();
    let said = has.said.lock().unwrap()[0].get("buildkit-attachable-store-id").unwrap().clone();
    assert_eq!(said, "local:/cache");
}

#[tokio::test]
async fn a_stream_is_sent_to_the_export_it_belongs_to() {
    let has = Arc::<Has>::default();
    let (session, _serving) = session(&has).await;
    let about = BTreeMap::from([("containerimage.digest".to_owned(), "sha256:x".to_owned())]);
    let mut sending = send::stream(&session, 3, &about).unwrap();
    let archive = vec![9; (2 << 20) + 5];
    sending.send(Bytes::from(archive.clone())).await.unwrap();
    sending.finish().await.unwrap();
    assert!(*has.got.lock().unwrap() == archive);
    let said = has.said.lock().unwrap()[0].clone();
    assert_eq!(said.get("buildkit-attachable-exporter-id").unwrap(), "3");
    assert_eq!(said.get("exporter-md-containerimage.digest").unwrap(), "sha256:x");

    let refused = BTreeMap::from([("refused".to_owned(), "yes".to_owned())]);
    let sending = send::stream(&session, 0, &refused).unwrap();
    let error = sending.finish().await.unwrap_err();
    assert_eq!(error.message, "target already exists");
    // One that is given up.
    drop(send::stream(&session, 0, &BTreeMap::new()).unwrap());
}
