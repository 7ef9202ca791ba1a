//! The tags of a repository.

use reqwest::header::{HeaderMap, LINK};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::Session;
use super::failure::Failure;
use super::request::{Request, whole};

/// The longest page of a list that is read.
const LONGEST_PAGE: u64 = 4 << 20;
/// Bytes of all pages that are read at the most.
const LONGEST_LIST: u64 = 32 << 20;
/// More pages than any honest registry has.
const MOST_PAGES: usize = 1000;

#[derive(Deserialize)]
struct Page {
    /// Go writes an empty list as `null`.
    tags: Option<Vec<String>>,
}

impl Session {
    /// All tags, page by page.
    pub(crate) async fn tags(&self) -> Result<Vec<String>, Failure> {
        let (endpoint, mut answer) = self
            .ask_at(|endpoint| Ok(Request::new(Method::GET, self.url(endpoint, "tags/list")?)))
            .await?;
        let (mut tags, mut left) = (Vec::new(), LONGEST_LIST);
        for _ in 0..MOST_PAGES {
            let url = answer.url().clone();
            let next = next_page(answer.headers(), &url);
            let request = super::failure::name("GET", &url);
            let content = whole(answer, LONGEST_PAGE.min(left), &request).await?;
            left -= content.len() as u64;
            let page: Page = serde_json::from_slice(&content)
                .map_err(|error| Failure::Wrong(format!("{request}: {error}")))?;
            tags.extend(page.tags.unwrap_or_default());
            let Some(next) = next else { return Ok(tags) };
            answer = self.send(endpoint, &Request::new(Method::GET, next)).await?;
        }
        Err(Failure::Wrong(format!("the list of tags of {} does not end", self.name().familiar())))
    }
}

/// `Link: </v2/x/tags/list?last=b&n=2>; rel="next"`
fn next_page(headers: &HeaderMap, from: &Url) -> Option<Url> {
    let link = headers.get(LINK)?.to_str().ok()?;
    let (address, rest) = link.strip_prefix('<')?.split_once('>')?;
    let next = rest.contains("rel=\"next\"") || rest.contains("rel=next");
    if next { from.join(address).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_where_the_link_says() {
        let from: Url = "https://r.test/v2/x/tags/list".parse().unwrap();
        let next = |link: &str| {
            let headers = HeaderMap::from_iter([(LINK, link.parse().unwrap())]);
            next_page(&headers, &from).map(String::from)
        };
        let whole = "https://r.test/v2/x/tags/list?last=b&n=2".to_owned();
        assert_eq!(next("</v2/x/tags/list?last=b&n=2>; rel=\"next\""), Some(whole));
        assert_eq!(next("</v2/x>; rel=\"prev\""), None);
        assert_eq!(next("nonsense"), None);
    }
}
