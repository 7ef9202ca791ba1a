//! Files of the web, which belong to no registry.

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, IF_NONE_MATCH};
use reqwest::{Response, StatusCode, Url};

use super::Registries;
use super::cause::cause;
use crate::error::{Error, Kind, Result};

/// The most of a refusal's text that is told.
const LONGEST_REFUSAL: usize = 1 << 10;

/// What else is said to a server.
#[derive(Debug, Clone, Default)]
pub struct WebAsked {
    /// The file is only wanted if it has another tag than this.
    pub unless_tagged: Option<String>,
    /// Who asks.
    pub authorization: Option<String>,
}

/// A file that is being fetched.
pub struct WebFile {
    url: Url,
    answer: Response,
}

impl Registries {
    /// Begins to fetch the file at `address`, by HTTP if it names no other protocol, through the
    /// proxies that registries are reached through.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for what is no address; what the server says if it doesn't give the file.
    pub async fn file(&self, address: &str) -> Result<WebFile> {
        let file = self.look_up(address, &WebAsked::default()).await?;
        if file.answer.status().is_client_error() || file.answer.status().is_server_error() {
            return Err(refused(file).await);
        }
        Ok(file)
    }

    /// The same, with whatever the server answers: [`WebFile::status`] says what that is.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for what is no address; the server can't be reached.
    pub async fn look_up(&self, address: &str, asked: &WebAsked) -> Result<WebFile> {
        let whole =
            if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
        let url = Url::parse(&whole)
            .map_err(|error| Error::invalid(format!("invalid URL {address:?}: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Error::unsupported(format!("fetching by {}", url.scheme())));
        }
        let mut request = self.web_client(&url)?.get(url.clone());
        let headers =
            [(IF_NONE_MATCH, &asked.unless_tagged), (AUTHORIZATION, &asked.authorization)];
        for (name, value) in headers {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let answer = request.send().await.map_err(|error| unreached(&url, &error))?;
        Ok(WebFile { url, answer })
    }
}

impl WebFile {
    /// The address that it is fetched from.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// What the server says: 200 for a file, 304 for one that is the same as before.
    pub fn status(&self) -> u16 {
        self.answer.status().as_u16()
    }

    /// What the server says of it under this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.answer.headers().get(name)?.to_str().ok()
    }

    /// Its bytes, if the server says how many there are.
    pub fn length(&self) -> Option<u64> {
        self.answer.content_length()
    }

    /// The next piece; none at the end.
    ///
    /// # Errors
    /// The file broke off.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        self.answer.chunk().await.map_err(|error| unreached(&self.url, &error))
    }
}

fn unreached(url: &Url, error: &reqwest::Error) -> Error {
    let reason = cause(error);
    Error::system(format!("Get {:?}: {reason}", url.as_str()))
}

async fn refused(WebFile { url, mut answer }: WebFile) -> Error {
    let status = answer.status();
    let mut text = Vec::new();
    while let Ok(Some(piece)) = answer.chunk().await {
        text.extend_from_slice(&piece);
        if text.len() >= LONGEST_REFUSAL {
            text.truncate(LONGEST_REFUSAL);
            break;
        }
    }
    let text = String::from_utf8_lossy(&text);
    let message = format!("failed to GET {url} with status {status}: {}", text.trim());
    let kind = match status {
        StatusCode::NOT_FOUND => Kind::NotFound,
        StatusCode::BAD_REQUEST => Kind::Invalid,
        StatusCode::UNAUTHORIZED => Kind::Unauthorized,
        _ => Kind::System,
    };
    Error::new(kind, message)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::registry::RegistrySettings;

    /// A server that gives this one answer; its address.
    async fn server(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            let _ = client.read(&mut [0; 1024]).await.unwrap();
            client.write_all(answer.as_bytes()).await.unwrap();
        });
        format!("{address}/file")
    }

    #[tokio::test]
    async fn a_file_comes_in_pieces() {
        let web = Registries::new(RegistrySettings::default());
        let address = server("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole").await;
        let mut file = web.file(&address).await.unwrap();
        assert_eq!(file.url(), format!("http://{address}"));
        assert_eq!(file.length(), Some(5));
        let mut all = Vec::new();
        while let Some(piece) = file.next().await.unwrap() {
            all.extend_from_slice(&piece);
        }
        assert_eq!(all, b"whole");
    }

    #[tokio::test]
    async fn what_is_not_given_or_breaks_off_is_an_error() {
        let web = Registries::new(RegistrySettings::default());
        let address = server("HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nnone\n").await;
        let error = web.file(&address).await.err().unwrap();
        assert_eq!(error.kind(), Kind::NotFound);
        let expected = format!("failed to GET http://{address} with status 404 Not Found: none");
        assert_eq!(error.to_string(), expected);
        let address = server("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf").await;
        let mut file = web.file(&address).await.unwrap();
        file.next().await.unwrap();
        assert_eq!(file.next().await.unwrap_err().kind(), Kind::System);
        for (address, kind) in [("ftp://x/y", Kind::Unsupported), ("http://", Kind::Invalid)] {
            assert_eq!(web.file(address).await.err().unwrap().kind(), kind);
        }
    }
}
