//! What the shop shows: its own routes, and the engine's under `/operations`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use intendant::{Intendant, IntentId, Scope};
use intendant_api::http::{Api, Grant};
use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;
use tokio::sync::watch;

use crate::orders::ShipOrder;

#[derive(Clone)]
struct Shop {
    intendant: Intendant,
    orders: SqlitePool,
}

/// Who is logged in. A real application knows that by its session; this one has a single user, on the machine it runs on.
#[derive(Debug, Clone)]
struct User(&'static str);

/// The routes.
pub(crate) fn router(
    intendant: &Intendant,
    orders: SqlitePool,
    stopped: watch::Receiver<bool>,
) -> Router {
    let shop = Shop {
        intendant: intendant.clone(),
        orders,
    };
    // The application says who may go how far; the engine notes who did what.
    let operations = Api::new(intendant)
        .stop(stopped)
        .names(["127.0.0.1", "localhost"]);
    let operations = operations.access_by(|request| {
        let user = request.extensions.get::<User>().cloned();
        async move {
            Some(Grant {
                who: user?.0.to_owned(),
                scope: Scope::Operator,
                account: None,
            })
        }
    });
    Router::new()
        .route("/orders", post(order))
        .route("/orders/{id}", get(show))
        .with_state(shop)
        .nest("/operations", operations.router())
        .layer(axum::Extension(User("shopkeeper")))
}

#[derive(Debug, Deserialize)]
struct NewOrder {
    customer: String,
    item: String,
}

#[derive(Debug, Serialize)]
struct Order {
    id: i64,
    /// Of the operation that carries it out.
    intent: IntentId,
    state: String,
    parcel: Option<String>,
}

/// The order and its intent are one commit: neither is there without the other, whatever dies in between.
async fn order(State(shop): State<Shop>, Json(new): Json<NewOrder>) -> Result<Response, Trouble> {
    // A transaction that is going to write says so when it begins.
    let mut tx = shop.orders.begin_with("begin immediate").await?;
    let insert = "insert into orders (customer, item) values (?, ?) returning id";
    let insert = sqlx::query_scalar(insert)
        .bind(&new.customer)
        .bind(&new.item);
    let id: i64 = insert.fetch_one(&mut *tx).await?;
    let request = shop.intendant.request(ShipOrder {
        order: id,
        customer: new.customer,
        item: new.item,
    });
    let intent = request.by("shop").within(&mut tx).await?.id();
    let link = sqlx::query("update orders set intent = ? where id = ?");
    link.bind(intent.to_string())
        .bind(id)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    let made = Order {
        id,
        intent,
        state: shop.intendant.state(intent).await?.to_string(),
        parcel: None,
    };
    Ok((StatusCode::ACCEPTED, Json(made)).into_response())
}

async fn show(State(shop): State<Shop>, Path(id): Path<i64>) -> Result<Response, Trouble> {
    let order = sqlx::query_as("select intent, parcel from orders where id = ?").bind(id);
    let order: Option<(String, Option<String>)> = order.fetch_optional(&shop.orders).await?;
    let Some((intent, parcel)) = order else {
        return Ok(StatusCode::NOT_FOUND.into_response());
    };
    let intent: IntentId = intent.parse()?;
    let state = shop.intendant.state(intent).await?.to_string();
    Ok(Json(Order {
        id,
        intent,
        state,
        parcel,
    })
    .into_response())
}

/// What went wrong, for the log; who asked hears that something did.
struct Trouble(anyhow::Error);

impl<E: Into<anyhow::Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        eprintln!("{:#}", self.0);
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use anyhow::{Result, ensure};
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use serde_json::Value;
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(app: &Router, request: Request<Body>) -> Result<(StatusCode, String)> {
        let answer = app.clone().oneshot(request).await?;
        let (status, body) = (
            answer.status(),
            to_bytes(answer.into_body(), 1_000_000).await?,
        );
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    fn look(path: &str) -> Result<Request<Body>> {
        let request = Request::get(path).header("host", "127.0.0.1:4680");
        Ok(request.body(Body::empty())?)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_order_is_sent_and_one_of_what_is_not_there_fails() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let url = format!("sqlite://{}", folder.path().join("shop.db").display());
        let intendant = Intendant::open(&url).await?;
        let orders = crate::orders::open(&url).await?;
        let (stop, stopped) = watch::channel(false);
        let app = router(&intendant, orders.clone(), stopped);
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let worker = tokio::spawn(crate::orders::worker(&intendant, orders).run(async {
            ended.await.ok();
        }));
        for (item, state) in [("lamp", "succeeded"), ("chair", "failed")] {
            let order = format!(r#"{{"customer":"acme","item":"{item}"}}"#);
            let request = Request::post("/orders").header("content-type", "application/json");
            let (status, body) = ask(&app, request.body(Body::from(order))?).await?;
            ensure!(status == StatusCode::ACCEPTED, "{body}");
            let made: Value = serde_json::from_str(&body)?;
            let path = format!("/orders/{}", made["id"]);
            let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
            loop {
                ensure!(
                    tokio::time::Instant::now() < deadline,
                    "the {item} is not {state}"
                );
                let (_, body) = ask(&app, look(&path)?).await?;
                let order: Value = serde_json::from_str(&body)?;
                if order["state"] == state {
                    ensure!(order["parcel"].is_string() == (item == "lamp"), "{body}");
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        // The engine's own pages and routes are there, for whom the application lets in.
        let (status, page) = ask(&app, look("/operations/intents?account=acme")?).await?;
        ensure!(
            status == StatusCode::OK && page.contains("order.ship"),
            "{status}: {page}"
        );
        let (status, list) = ask(&app, look("/operations/api/v1/intents?state=failed")?).await?;
        ensure!(
            status == StatusCode::OK && list.contains("there is no chair left"),
            "{list}"
        );
        stop.send_replace(true);
        end.send(()).ok();
        worker.await??;
        Ok(())
    }
}
