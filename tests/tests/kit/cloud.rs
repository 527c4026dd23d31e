//! A cloud in memory, and steps on it that can be run twice, with a flaw where a test wants one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use intendant::testing::Kit;
use intendant::{Cx, Intent, Node, Plan, Resources, StepResult, fail, value};
use serde::{Deserialize, Serialize};

/// What is wrong with a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    /// The volume gets a name of its own whenever the step is run.
    CreatesTwice,
    /// Taking back the server leaves the disk that came with it.
    UndoLeaks,
    /// Taking back the address fails when there is none.
    UndoNeedsEffect,
    /// The server's output has something in it that nobody knows beforehand.
    RandomOutput,
    /// Taking back the volume counts how often it was done.
    UndoCounts,
}

/// Things by name: what each is attached to.
#[derive(Clone)]
pub(crate) struct Cloud {
    things: Arc<Mutex<BTreeMap<String, String>>>,
    flaw: Flaw,
}

impl Cloud {
    pub(crate) fn things(&self) -> BTreeMap<String, String> {
        self.things.lock().unwrap().clone()
    }

    pub(crate) fn make(&self, name: impl Into<String>, of: impl Into<String>) {
        self.things.lock().unwrap().insert(name.into(), of.into());
    }

    pub(crate) fn delete(&self, name: &str) -> bool {
        self.things.lock().unwrap().remove(name).is_some()
    }

    fn count(&self) -> usize {
        self.things.lock().unwrap().len()
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Provision {
    pub(crate) server: String,
}

impl Intent for Provision {
    const KIND: &'static str = "server.provision";
    type Output = String;
    fn resources(&self) -> Resources {
        Resources::exclusive("server", &self.server)
    }
}

/// ```text
/// image ── volume ──┬── server ──┬── join
///                   └── address ─┘
/// ```
fn provision(intent: &Provision, plan: &mut Plan<Cloud>) -> Node<String> {
    let image = plan.step("image", image).input(());
    let volume = plan
        .step("volume", volume)
        .undo(no_volume)
        .input((image, value(intent.server.clone())));
    let server = plan.step("server", server).undo(no_server).input(volume);
    let address = plan
        .step("address", address)
        .undo(no_address)
        .input(value(intent.server.clone()));
    plan.step("join", join).undo(leave).input((server, address))
}

async fn image(_: Cx<Cloud>, (): ()) -> StepResult<String> {
    Ok("debian-13".to_owned())
}

async fn volume(cx: Cx<Cloud>, (image, server): (String, String)) -> StepResult<String> {
    let cloud = cx.state();
    let name = match cloud.flaw {
        Flaw::CreatesTwice => format!("volume-{}", cloud.count()),
        _ => format!("volume-of-{server}"),
    };
    cloud.make(&name, image);
    Ok(server)
}

async fn no_volume(
    cx: Cx<Cloud>,
    (_, server): (String, String),
    _: Option<String>,
) -> StepResult<()> {
    let cloud = cx.state();
    match cloud.flaw {
        Flaw::CreatesTwice => cloud.things.lock().unwrap().clear(),
        Flaw::UndoCounts if !cloud.delete(&format!("volume-of-{server}")) => {
            cloud.make("deleted in vain", server);
        }
        _ => drop(cloud.delete(&format!("volume-of-{server}"))),
    }
    Ok(())
}

async fn server(cx: Cx<Cloud>, server: String) -> StepResult<String> {
    let cloud = cx.state();
    cloud.make(&server, "rack 7");
    cloud.make(format!("disk-of-{server}"), &server);
    match cloud.flaw {
        Flaw::RandomOutput => Ok(uuid::Uuid::new_v4().to_string()),
        _ => Ok(server),
    }
}

async fn no_server(cx: Cx<Cloud>, server: String, _: Option<String>) -> StepResult<()> {
    let cloud = cx.state();
    cloud.delete(&server);
    if cloud.flaw != Flaw::UndoLeaks {
        cloud.delete(&format!("disk-of-{server}"));
    }
    Ok(())
}

async fn address(cx: Cx<Cloud>, server: String) -> StepResult<String> {
    cx.state().make(format!("address-of-{server}"), "10.0.0.7");
    Ok("10.0.0.7".to_owned())
}

async fn no_address(cx: Cx<Cloud>, server: String, _: Option<String>) -> StepResult<()> {
    let cloud = cx.state();
    let was_there = cloud.delete(&format!("address-of-{server}"));
    if !was_there && cloud.flaw == Flaw::UndoNeedsEffect {
        return Err(fail(format!("404: {server} has no address")));
    }
    Ok(())
}

async fn join(cx: Cx<Cloud>, (server, address): (String, String)) -> StepResult<String> {
    cx.state().make(format!("member-{server}"), &address);
    Ok(format!("{server} at {address}"))
}

async fn leave(cx: Cx<Cloud>, (server, _): (String, String), _: Option<String>) -> StepResult<()> {
    cx.state().delete(&format!("member-{server}"));
    Ok(())
}

pub(crate) fn kit(flaw: Flaw) -> Kit<Cloud> {
    let fresh = move || Cloud {
        things: Arc::default(),
        flaw,
    };
    Kit::new(fresh, |worker| worker.register(provision))
}

pub(crate) fn order() -> Provision {
    Provision {
        server: "s7".to_owned(),
    }
}
