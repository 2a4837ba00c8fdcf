//! Components that are made for a test.

use wasm_encoder::{
    CodeSection, Component, Function, FunctionSection, Module, ModuleSection, TypeSection, ValType,
};

/// A component of `functions` functions, each with so many instructions, which take the compiler long: all of
/// them go through a few hundred variables.
pub fn slow_component(functions: u32, instructions: u32) -> Vec<u8> {
    const VARIABLES: u32 = 300;
    let mut types = TypeSection::new();
    let (mut kinds, mut code) = (FunctionSection::new(), CodeSection::new());
    types.ty().function([ValType::I64], [ValType::I64]);
    for number in 0..functions {
        kinds.function(0);
        let mut function = Function::new([(VARIABLES, ValType::I64)]);
        let mut body = function.instructions();
        let mut state = number.wrapping_mul(0x9e37_79b9) | 1;
        for _ in 0..instructions / 8 {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            let (from, to) = (state % VARIABLES, (state >> 16) % VARIABLES);
            body.block(wasm_encoder::BlockType::Empty)
                .local_get(from)
                .local_get(to)
                .i64_mul()
                .local_tee(to)
                .i32_wrap_i64()
                .br_if(0)
                .end();
        }
        body.local_get(1).end();
        code.function(&function);
    }
    let mut module = Module::new();
    module.section(&types).section(&kinds).section(&code);
    let mut component = Component::new();
    component.section(&ModuleSection(&module));
    component.finish()
}
