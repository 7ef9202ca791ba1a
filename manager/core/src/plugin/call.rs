//! A call of a plugin: a connection, a question, and the time that there is for both.

use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, Url};
use serde::{Deserialize, Serialize};

use super::answer;
use super::places::Address;
use crate::error::{Error, Kind, Result};
use crate::registry::cause::cause;

/// What docker says that it understands.
const VERSION: &str = "application/vnd.docker.plugins.v1.2+json";
/// What a plugin on a socket is called; it listens to no name.
const HOST: &str = "http://plugin.moby.localhost/";

/// How long whoever can't be reached is tried again.
const RETRIES: Duration = Duration::from_secs(30);

/// How long an answer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// For what makes or mounts something; docker's time.
    Long,
    /// For all else; docker's time.
    Short,
    /// For who only looks around: it is not tried again either.
    Soon,
}

impl Patience {
    fn limit(self) -> Duration {
        match self {
            Self::Long => Duration::from_secs(120),
            Self::Short => Duration::from_secs(60),
            Self::Soon => Duration::from_secs(3),
        }
    }
}

/// A way to a plugin.
pub(super) struct Connection {
    client: Client,
    base: Url,
}

impl Connection {
    /// The way to `address`. Nothing is sent yet.
    pub(super) fn to(address: &Address) -> Result<Self> {
        let wrong =
            |why: String| Error::invalid(format!("the plugin's address {}: {why}", address.addr));
        let tls = address.proof.clone().unwrap_or_default().tls()?;
        let builder = Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none());
        let (builder, base) = match address.addr.split_once("://") {
            Some(("unix", path)) => (builder.unix_socket(path.to_owned()), HOST.to_owned()),
            Some(("tcp", host)) => (builder, format!("http://{host}/")),
            Some(("http" | "https", _)) => {
                (builder, format!("{}/", address.addr.trim_end_matches('/')))
            }
            _ => return Err(wrong("use unix://, tcp://, http:// or https://".to_owned())),
        };
        let base = Url::parse(&base).map_err(|error| wrong(error.to_string()))?;
        let client = builder.build().map_err(|error| wrong(cause(&error)))?;
        Ok(Self { client, base })
    }

    /// Asks, and asks again as docker does while it can't be reached.
    pub(super) async fn call<Q: Serialize, A: for<'a> Deserialize<'a>>(
        &self,
        method: &str,
        question: &Q,
        patience: Patience,
    ) -> Result<A> {
        let question = serde_json::to_vec(question)
            .map_err(|error| Error::system(format!("encode a question: {error}")))?;
        let begun = Instant::now();
        let mut pause = Duration::from_secs(1);
        loop {
            let once = self.once(method, question.clone());
            let answer = match tokio::time::timeout(patience.limit(), once).await {
                Ok(answer) => answer,
                Err(_) => Err(silent(method)),
            };
            match answer {
                Err(error)
                    if error.kind() == Kind::Unavailable
                        && patience != Patience::Soon
                        && begun.elapsed() + pause < RETRIES =>
                {
                    tracing::warn!(%error, ?pause, "a plugin can't be reached; trying again");
                }
                answer => return answer,
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    async fn once<A: for<'a> Deserialize<'a>>(&self, method: &str, question: Vec<u8>) -> Result<A> {
        let url = self.base.join(method).map_err(|error| Error::system(error.to_string()))?;
        let request = self.client.post(url).header(ACCEPT, VERSION);
        let request = request.header(CONTENT_TYPE, VERSION).body(question);
        let response = request.send().await.map_err(|error| unreached(method, &error))?;
        answer::read(method, response).await
    }
}

/// Nothing, or only a part of an answer, has come.
pub(super) fn unreached(method: &str, error: &reqwest::Error) -> Error {
    Error::new(Kind::Unavailable, format!("Post \"{HOST}{method}\": {}", cause(error)))
}

fn silent(method: &str) -> Error {
    Error::new(Kind::Unavailable, format!("Post \"{HOST}{method}\": context deadline exceeded"))
}
