//! Pages of the dashboard as a browser without scripts sees them: parsed, their links followed, their forms filled in and sent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use scraper::{ElementRef, Html, Node, Selector};
use tower::ServiceExt as _;

use crate::support::Server;

/// Whoever looks, with a cookie or none.
pub(crate) struct Browser {
    router: Router,
    pub(crate) cookie: Option<String>,
    /// What it is mounted under.
    pub(crate) base: &'static str,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) at: String,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

/// A form as it stands on a page, with what it says as it is.
#[derive(Debug, Clone)]
pub(crate) struct FoundForm {
    pub(crate) action: String,
    pub(crate) method: String,
    pub(crate) fields: Vec<(String, String)>,
}

impl Browser {
    pub(crate) fn new(server: &Server, token: &str) -> Self {
        let cookie = (!token.is_empty()).then(|| format!("intendant_token={token}"));
        Self {
            router: server.router.clone(),
            cookie,
            base: "",
        }
    }

    pub(crate) fn of(router: Router, cookie: Option<String>, base: &'static str) -> Self {
        Self {
            router,
            cookie,
            base,
        }
    }

    pub(crate) async fn get(&self, at: &str) -> Result<Page> {
        let request = Request::get(at).header("sec-fetch-site", "same-origin");
        self.send(at, request.body(Body::empty())?).await
    }

    /// Sends a form from a page of its own.
    pub(crate) async fn post(&self, at: &str, fields: &[(&str, &str)]) -> Result<Page> {
        let body: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        let request = Request::post(at)
            .header("sec-fetch-site", "same-origin")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(at, request.body(Body::from(body.join("&")))?)
            .await
    }

    pub(crate) async fn submit(&self, form: &FoundForm, fill: &[(&str, &str)]) -> Result<Page> {
        let mut fields = form.fields.clone();
        for (name, value) in fill {
            fields.retain(|(known, _)| known != name);
            fields.push(((*name).to_owned(), (*value).to_owned()));
        }
        let fields: Vec<(&str, &str)> = fields.iter().map(|(a, b)| (&**a, &**b)).collect();
        if form.method == "post" {
            return self.post(&form.action, &fields).await;
        }
        let query: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        self.get(&format!("{}?{}", form.action, query.join("&")))
            .await
    }

    /// Goes where the answer to a form leads.
    pub(crate) async fn follow(&self, page: Page) -> Result<Page> {
        ensure!(page.status == 303, "it leads nowhere: {page:?}");
        let to = page.header("location").to_owned();
        self.get(&to).await
    }

    pub(crate) async fn send(&self, at: &str, mut request: Request<Body>) -> Result<Page> {
        if let Some(cookie) = &self.cookie {
            request
                .headers_mut()
                .insert(header::COOKIE, cookie.parse()?);
        }
        let response = self.router.clone().oneshot(request).await?;
        let (parts, body) = response.into_parts();
        let is_stream = parts
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind == "text/event-stream");
        let text = match is_stream {
            // It goes on for ever.
            true => String::new(),
            false => String::from_utf8(to_bytes(body, 64 << 20).await?.to_vec())?,
        };
        let page = Page {
            at: at.to_owned(),
            status: parts.status,
            headers: parts.headers,
            text,
        };
        page.check(self.base)
            .with_context(|| format!("{at}: {}", page.text))?;
        Ok(page)
    }

    /// Every page that can be reached by links, each of them once, at most so many of each sort.
    pub(crate) async fn crawl(&self, most: usize) -> Result<Vec<Page>> {
        let start = if self.base.is_empty() { "/" } else { self.base };
        let mut queue = VecDeque::from([start.to_owned()]);
        let (mut known, mut pages) = (BTreeSet::from([start.to_owned()]), Vec::new());
        let mut sorts: BTreeMap<String, usize> = BTreeMap::new();
        while let Some(at) = queue.pop_front() {
            let page = self.get(&at).await?;
            ensure!(
                page.status == 200,
                "a link leads to {}: {}",
                page.status,
                page.text
            );
            for link in page.links() {
                let link = link.split('#').next().unwrap_or_default().to_owned();
                let path = link.split('?').next().unwrap_or_default();
                let sort: String = path.chars().filter(|c| !c.is_ascii_hexdigit()).collect();
                if !link.is_empty() && known.insert(link.clone()) {
                    let count = sorts.entry(sort).or_default();
                    *count += 1;
                    if *count <= most {
                        queue.push_back(link);
                    }
                }
            }
            pages.push(page);
        }
        Ok(pages)
    }
}

pub(crate) fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

const ELEMENTS: &[&str] = &[
    "html",
    "head",
    "meta",
    "title",
    "link",
    "script",
    "body",
    "a",
    "header",
    "main",
    "footer",
    "nav",
    "section",
    "ul",
    "ol",
    "li",
    "h1",
    "h2",
    "h3",
    "p",
    "span",
    "div",
    "form",
    "input",
    "select",
    "option",
    "textarea",
    "button",
    "label",
    "fieldset",
    "legend",
    "details",
    "summary",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "dl",
    "dt",
    "dd",
    "pre",
    "code",
    "strong",
    "small",
    "time",
    "img",
    "figure",
    "figcaption",
    "svg",
    "g",
    "rect",
    "path",
    "text",
    "polyline",
];

const ATTRIBUTES: &[&str] = &[
    "lang",
    "charset",
    "name",
    "content",
    "rel",
    "type",
    "href",
    "src",
    "defer",
    "class",
    "id",
    "role",
    "alt",
    "width",
    "height",
    "tabindex",
    "action",
    "method",
    "value",
    "placeholder",
    "required",
    "autofocus",
    "autocomplete",
    "autocapitalize",
    "spellcheck",
    "selected",
    "open",
    "rows",
    "maxlength",
    "min",
    "max",
    "step",
    "scope",
    "title",
    "datetime",
    "data-part",
    "data-often",
    "data-stream",
    "aria-label",
    "aria-labelledby",
    "aria-current",
    "aria-hidden",
    "viewBox",
    "preserveAspectRatio",
    "points",
    "vector-effect",
    "d",
    "x",
    "y",
    "rx",
];

impl Page {
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    pub(crate) fn is_html(&self) -> bool {
        self.header("content-type") == "text/html; charset=utf-8"
    }

    pub(crate) fn html(&self) -> Html {
        Html::parse_document(&self.text)
    }

    /// What is true of every answer: nothing but elements and attributes of ours, links within, no script that runs.
    fn check(&self, base: &str) -> Result<()> {
        let policy = self.header("content-security-policy");
        ensure!(
            policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
            "its policy is `{policy}`"
        );
        ensure!(
            self.header("x-content-type-options") == "nosniff",
            "its type can be guessed"
        );
        if !self.is_html() {
            return Ok(());
        }
        ensure!(self.header("cache-control") == "no-store", "it is kept");
        for node in self.html().tree.nodes() {
            let Node::Element(element) = node.value() else {
                ensure!(
                    !matches!(node.value(), Node::Comment(_)),
                    "it has a comment"
                );
                continue;
            };
            let name = element.name();
            ensure!(ELEMENTS.contains(&name), "it has the element `{name}`");
            for (attribute, value) in element.attrs() {
                ensure!(
                    ATTRIBUTES.contains(&attribute),
                    "`{name}` has the attribute `{attribute}`"
                );
                if matches!(attribute, "href" | "src" | "action" | "data-stream") {
                    let is_here = value.starts_with('#')
                        || (value.starts_with(base)
                            && value.starts_with('/')
                            && !value.starts_with("//"));
                    ensure!(is_here, "`{name}` leads to `{value}`");
                }
            }
            if name == "script" {
                ensure!(
                    element.attr("src").is_some() && !node.has_children(),
                    "a script stands in the page"
                );
            }
        }
        self.check_labels()
    }

    /// Whoever cannot see the page hears what each field and each picture is.
    fn check_labels(&self) -> Result<()> {
        let html = self.html();
        for field in html.select(&selector("input:not([type=hidden]), select, textarea")) {
            let has_label = field.value().attr("aria-label").is_some()
                || field.ancestors().any(|above| {
                    above
                        .value()
                        .as_element()
                        .is_some_and(|above| above.name() == "label")
                });
            ensure!(has_label, "a field has no label: {}", field.html());
        }
        for picture in html.select(&selector("svg")) {
            ensure!(
                picture.value().attr("aria-label").is_some(),
                "a picture has no label"
            );
        }
        ensure!(html.select(&selector("h1")).count() == 1, "not one heading");
        ensure!(
            html.select(&selector("main#main")).count() == 1,
            "not one main part"
        );
        let mut ids = BTreeSet::new();
        for element in html.select(&selector("[id]")) {
            let id = element.value().attr("id").unwrap_or_default();
            ensure!(ids.insert(id.to_owned()), "`{id}` is there twice");
        }
        for element in html.select(&selector("[aria-labelledby]")) {
            let by = element.value().attr("aria-labelledby").unwrap_or_default();
            ensure!(ids.contains(by), "nothing has the id `{by}`");
        }
        Ok(())
    }

    pub(crate) fn links(&self) -> Vec<String> {
        let html = self.html();
        let links = selector("a[href]");
        let all = html.select(&links);
        all.filter_map(|link| link.value().attr("href"))
            .map(str::to_owned)
            .collect()
    }

    /// What is to be read on it.
    pub(crate) fn said(&self) -> String {
        let html = self.html();
        let body = html.select(&selector("main")).next();
        body.map(|body| body.text().collect()).unwrap_or_default()
    }

    pub(crate) fn forms(&self) -> Vec<FoundForm> {
        let html = self.html();
        let forms = selector("form");
        let all = html.select(&forms);
        all.map(FoundForm::of).collect()
    }

    /// The form with these fields.
    pub(crate) fn form(&self, with: &[(&str, &str)]) -> Result<FoundForm> {
        let has = |form: &FoundForm| {
            with.iter()
                .all(|(name, value)| form.fields.iter().any(|(n, v)| n == name && v == value))
        };
        let found = self.forms().into_iter().find(has);
        found.with_context(|| format!("no form with {with:?}: {:?}", self.forms()))
    }
}

pub(crate) fn selector(text: &str) -> Selector {
    Selector::parse(text).unwrap()
}

impl FoundForm {
    fn of(form: ElementRef<'_>) -> Self {
        let mut fields = Vec::new();
        for field in form.select(&selector("input, select, textarea")) {
            let value = field.value();
            let name = value.attr("name").unwrap_or_default().to_owned();
            let said = match value.name() {
                "input" if value.attr("type") == Some("checkbox") => continue,
                "input" => value.attr("value").unwrap_or_default().to_owned(),
                "textarea" => field.text().collect(),
                _ => {
                    let chosen = field
                        .select(&selector("option[selected]"))
                        .next()
                        .or_else(|| field.select(&selector("option")).next());
                    let of = |option: ElementRef<'_>| {
                        let value = option.value().attr("value").map(str::to_owned);
                        value.unwrap_or_else(|| option.text().collect())
                    };
                    chosen.map(of).unwrap_or_default()
                }
            };
            fields.push((name, said));
        }
        Self {
            action: form.value().attr("action").unwrap_or_default().to_owned(),
            method: form.value().attr("method").unwrap_or("get").to_owned(),
            fields,
        }
    }
}
