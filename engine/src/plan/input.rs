//! How the outputs of steps become the input of another one, checked by the compiler.

use std::marker::PhantomData;

use serde::Serialize;

use super::Node;
use crate::payload::{self, Payload, PayloadError};

/// Where a step's input comes from, without types.
#[derive(Debug, Clone)]
pub(crate) enum Expr {
    /// The output of another step, by its index in the plan.
    Node(u32),
    /// Known when the plan was made.
    Value(Payload),
    /// A tuple or vector of these: a JSON array.
    List(Vec<Expr>),
}

impl Expr {
    /// The steps whose outputs it takes.
    pub(crate) fn nodes(&self, into: &mut Vec<u32>) {
        match self {
            Self::Node(index) => into.push(*index),
            Self::Value(_) => {}
            Self::List(items) => items.iter().for_each(|item| item.nodes(into)),
        }
    }

    /// The input, given the outputs of other steps; none if one is missing.
    pub(crate) fn resolve<'a>(
        &'a self,
        output: &impl Fn(u32) -> Option<&'a Payload>,
    ) -> Option<Payload> {
        match self {
            Self::Node(index) => output(*index).cloned(),
            Self::Value(payload) => Some(payload.clone()),
            Self::List(_) => {
                let mut json = String::new();
                self.write(output, &mut json)?;
                Some(payload::trusted(json))
            }
        }
    }

    fn write<'a>(
        &'a self,
        output: &impl Fn(u32) -> Option<&'a Payload>,
        json: &mut String,
    ) -> Option<()> {
        match self {
            Self::Node(index) => json.push_str(output(*index)?.get()),
            Self::Value(payload) => json.push_str(payload.get()),
            Self::List(items) => {
                json.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        json.push(',');
                    }
                    item.write(output, json)?;
                }
                json.push(']');
            }
        }
        Some(())
    }
}

/// Collects what goes wrong while an input is wired.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct Wiring {
    pub(crate) error: Option<PayloadError>,
}

/// Something that can be given to a step that takes `T`.
///
/// Implemented for [`Node<T>`], for [`Value<T>`] and for tuples and vectors of these.
#[diagnostic::on_unimplemented(
    message = "this step takes `{T}`, and that is not what is given to it",
    label = "this gives `{Self}`"
)]
pub trait Input<T> {
    #[doc(hidden)]
    #[expect(
        private_interfaces,
        reason = "sealed: only the engine's own types are inputs"
    )]
    fn wire(self, wiring: &mut Wiring) -> Expr;
}

/// A value that is known when the plan is made.
#[derive(Debug)]
pub struct Value<T> {
    json: Result<Payload, PayloadError>,
    of: PhantomData<fn() -> T>,
}

/// Gives a step something out of the intent's input, or any other value that the plan function has.
pub fn value<T: Serialize>(value: impl Into<T>) -> Value<T> {
    Value {
        json: payload::encode(&value.into()),
        of: PhantomData,
    }
}

#[expect(
    private_interfaces,
    reason = "sealed: only the engine's own types are inputs"
)]
impl<T> Input<T> for Node<T> {
    fn wire(self, _: &mut Wiring) -> Expr {
        Expr::Node(self.index)
    }
}

#[expect(
    private_interfaces,
    reason = "sealed: only the engine's own types are inputs"
)]
impl<T> Input<T> for Value<T> {
    fn wire(self, wiring: &mut Wiring) -> Expr {
        match self.json {
            Ok(json) => Expr::Value(json),
            Err(error) => {
                wiring.error.get_or_insert(error);
                Expr::List(Vec::new())
            }
        }
    }
}

#[expect(
    private_interfaces,
    reason = "sealed: only the engine's own types are inputs"
)]
impl<T, I: Input<T>> Input<Vec<T>> for Vec<I> {
    fn wire(self, wiring: &mut Wiring) -> Expr {
        Expr::List(self.into_iter().map(|item| item.wire(wiring)).collect())
    }
}

#[expect(
    private_interfaces,
    reason = "sealed: only the engine's own types are inputs"
)]
impl Input<()> for () {
    fn wire(self, wiring: &mut Wiring) -> Expr {
        value::<()>(()).wire(wiring)
    }
}

macro_rules! tuples {
    ($(($($given:ident $taken:ident $field:tt),+))*) => {$(
        #[expect(private_interfaces, reason = "sealed: only the engine's own types are inputs")]
        impl<$($given: Input<$taken>, $taken),+> Input<($($taken,)+)> for ($($given,)+) {
            fn wire(self, wiring: &mut Wiring) -> Expr {
                Expr::List(vec![$(self.$field.wire(wiring)),+])
            }
        }
    )*};
}

tuples! {
    (A TA 0)
    (A TA 0, B TB 1)
    (A TA 0, B TB 1, C TC 2)
    (A TA 0, B TB 1, C TC 2, D TD 3)
    (A TA 0, B TB 1, C TC 2, D TD 3, E TE 4)
    (A TA 0, B TB 1, C TC 2, D TD 3, E TE 4, F TF 5)
    (A TA 0, B TB 1, C TC 2, D TD 3, E TE 4, F TF 5, G TG 6)
    (A TA 0, B TB 1, C TC 2, D TD 3, E TE 4, F TF 5, G TG 6, H TH 7)
}
