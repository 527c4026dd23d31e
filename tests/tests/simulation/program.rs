//! What the virtual workers carry out: random programs, each of which says itself what its steps do, and what they come to.

use std::time::Duration;

use intendant::{Conflicts, Cx, Intent, Node, OnFailure, Plan, Resources, Rule, StepResult, value};
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use crate::world::{self, Given, World};

/// Most steps of a program.
const STEPS: usize = 12;
/// How deep children are nested.
pub(crate) const DEPTH: usize = 2;
/// Attempts of each step: more than errors are made on purpose, and few enough to run out now and then.
const ATTEMPTS: u32 = 6;
/// The queue of all intents.
pub(crate) const DEFAULT: &str = "default";
/// The queue of steps that do not run with their intent.
pub(crate) const ANNEX: &str = "annex";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Program {
    pub steps: Vec<Step>,
    /// What it holds, and whether side by side with others.
    pub server: Option<(u8, bool)>,
    /// By this it is told apart where intents take turns.
    pub customer: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// Earlier steps that it depends on.
    pub after: Vec<usize>,
    pub does: Does,
    pub undo: bool,
    pub annex: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Does {
    /// Something outside the database.
    Acts,
    /// Something in the database, in one commit with its result.
    Writes,
    /// Errors, so many times, then acts.
    Errs(u32),
    /// Fails for good.
    Refuses,
    /// Has another program carried out.
    Asks(Kind, Program),
    /// Sleeps so many seconds, then acts.
    Sleeps(u32),
    /// Waits for a message, then acts.
    Waits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Hold,
    Release,
    Undo,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Hold, Self::Release, Self::Undo];

    /// Its name in the history.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Hold => Hold::KIND,
            Self::Release => Release::KIND,
            Self::Undo => Undo::KIND,
        }
    }
}

impl Program {
    pub(crate) fn random(dice: &mut StdRng, depth: usize) -> Self {
        let most = if depth == 0 { STEPS } else { 3 };
        let steps = dice.random_range(1..=most);
        let steps = (0..steps)
            .map(|nth| Step::random(dice, nth, depth))
            .collect();
        let server = dice.random_bool(0.5);
        let server = server.then(|| (dice.random_range(0..3), dice.random_bool(0.3)));
        // A child that wants what its parent holds has it; one that wants something else could wait in a circle.
        let server = server.filter(|_| depth == 0);
        Self {
            steps,
            server,
            customer: 0,
        }
    }

    /// One with a single step, which acts.
    pub(crate) fn acting() -> Self {
        let step = Step {
            after: Vec::new(),
            does: Does::Acts,
            undo: false,
            annex: false,
        };
        Self {
            steps: vec![step],
            server: None,
            customer: 0,
        }
    }

    /// One that fails, and holds what nobody else wants.
    pub(crate) fn failing() -> Self {
        let step = Step {
            after: Vec::new(),
            does: Does::Refuses,
            undo: false,
            annex: false,
        };
        Self {
            steps: vec![step],
            server: Some((u8::MAX, false)),
            customer: 0,
        }
    }

    /// What it wants, as plain SQL says it.
    pub(crate) fn wants(&self) -> Vec<String> {
        let of = |(server, shared): (u8, bool)| match shared {
            true => format!("shared:server:{server}"),
            false => format!("exclusive:server:{server}"),
        };
        self.server.map(of).into_iter().collect()
    }

    /// What it comes to.
    pub(crate) fn output(&self) -> u64 {
        self.outputs().iter().copied().fold(0, sum)
    }

    /// What each of its steps comes to.
    pub(crate) fn outputs(&self) -> Vec<u64> {
        let mut outputs: Vec<u64> = Vec::with_capacity(self.steps.len());
        for (nth, step) in self.steps.iter().enumerate() {
            let before = step.after.iter().map(|nth| outputs[*nth]).fold(0, sum);
            outputs.push(sum(before, step.own(nth)));
        }
        outputs
    }

    /// Whether it can succeed.
    pub(crate) fn can_succeed(&self) -> bool {
        self.steps.iter().all(|step| match &step.does {
            Does::Refuses => false,
            Does::Asks(_, program) => program.can_succeed(),
            _ => true,
        })
    }
}

/// Small enough for any JSON.
fn sum(one: u64, other: u64) -> u64 {
    (one + other) & 0xffff_ffff
}

impl Step {
    fn random(dice: &mut StdRng, nth: usize, depth: usize) -> Self {
        let after = (0..nth).filter(|_| dice.random_bool(1.0 / (nth as f64).max(1.6)));
        let after = after.collect();
        let does = match dice.random_range(0..24) {
            0..9 => Does::Acts,
            9..14 => Does::Writes,
            14..17 => Does::Errs(dice.random_range(1..=2)),
            17 => Does::Refuses,
            18..20 if depth < DEPTH => {
                let kind = Kind::ALL[dice.random_range(0..3)];
                Does::Asks(kind, Program::random(dice, depth + 1))
            }
            20..22 => Does::Sleeps(dice.random_range(1..=600)),
            22 => Does::Waits,
            _ => Does::Acts,
        };
        // What rests runs with its intent.
        let rests = matches!(does, Does::Asks(..) | Does::Sleeps(_) | Does::Waits);
        Self {
            after,
            does,
            undo: dice.random_bool(0.4),
            annex: !rests && dice.random_bool(0.15),
        }
    }

    /// What it comes to besides what it is given.
    fn own(&self, nth: usize) -> u64 {
        let own = nth as u64 + 1;
        match &self.does {
            Does::Asks(_, program) => sum(own, program.output()),
            _ => own,
        }
    }
}

/// The name of a step.
pub(crate) fn name(nth: usize) -> String {
    format!("s{nth}")
}

fn plan(program: &Program, plan: &mut Plan<World>) -> Node<u64> {
    let mut nodes: Vec<Node<u64>> = Vec::with_capacity(program.steps.len());
    for (nth, step) in program.steps.iter().enumerate() {
        let before: Vec<Node<u64>> = step.after.iter().map(|nth| nodes[*nth]).collect();
        let writes = |nth: &usize| program.steps[*nth].does == Does::Writes;
        let writing: Vec<usize> = step.after.iter().copied().filter(writes).collect();
        let given = (before, value(nth), value(step.clone()), value(writing));
        macro_rules! add {
            ($function:path) => {{
                let mut builder = plan.step(name(nth), $function);
                builder = builder
                    .attempts(ATTEMPTS)
                    .backoff(Duration::from_secs(1), Duration::from_secs(8));
                if step.undo {
                    builder = builder.undo(world::undo);
                }
                if step.annex {
                    builder = builder.queue(ANNEX);
                }
                builder.input(given)
            }};
        }
        nodes.push(match step.does {
            Does::Writes => add!(world::write),
            _ => add!(world::act),
        });
    }
    plan.step("sum", total).input(nodes)
}

async fn total(_: Cx<World>, outputs: Vec<u64>) -> StepResult<u64> {
    Ok(outputs.into_iter().fold(0, sum))
}

/// Has a program carried out as a child.
pub(crate) async fn ask(cx: &Cx<World>, kind: Kind, program: Program) -> StepResult<u64> {
    match kind {
        Kind::Hold => cx.child("child", Hold(program)).await,
        Kind::Release => cx.child("child", Release(program)).await,
        Kind::Undo => cx.child("child", Undo(program)).await,
    }
}

/// What a step comes to, given what those before it have.
pub(crate) fn result(given: &Given) -> u64 {
    let (before, nth, step, _) = given;
    sum(before.iter().copied().fold(0, sum), step.own(*nth))
}

fn resources(program: &Program) -> Resources {
    match program.server {
        None => Resources::none(),
        Some((server, true)) => Resources::shared("server", server),
        Some((server, false)) => Resources::exclusive("server", server),
    }
}

macro_rules! kind {
    ($name:ident, $kind:literal, $plan:ident, $policy:expr, $conflicts:expr) => {
        #[derive(Debug, Clone, Serialize, Deserialize)]
        pub(crate) struct $name(pub(crate) Program);

        impl Intent for $name {
            const KIND: &'static str = $kind;
            const ON_FAILURE: OnFailure = $policy;
            type Output = u64;

            fn resources(&self) -> Resources {
                resources(&self.0)
            }

            fn conflicts() -> Conflicts {
                $conflicts
            }
        }

        pub(crate) fn $plan(intent: &$name, plan: &mut Plan<World>) -> Node<u64> {
            self::plan(&intent.0, plan)
        }
    };
}

kind!(Hold, "hold", hold, OnFailure::Hold, Conflicts::default());
kind!(
    Release,
    "release",
    release,
    OnFailure::Release,
    Conflicts::otherwise(Rule::Wait).with("hold", Rule::Supersede)
);
kind!(Undo, "undo", undo, OnFailure::Undo, Conflicts::default());
