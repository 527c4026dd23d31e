//! What must not compile, and how the compiler says so.

#[test]
fn a_wrong_plan_does_not_compile() {
    trybuild::TestCases::new().compile_fail("cases/*.rs");
}
