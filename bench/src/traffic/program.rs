//! The generator's XDP program: a few dozen instructions, written down one by one, so that it needs no compiler for BPF.
//!
//! Each run takes the next slot, gives its frame the lap's client address, port, sequence numbers and target, and sends it
//! out of an interface. Invariant: what it changes is a function of slot and lap alone, so that the truth is known.

use super::slot::{self, FRAME_BYTES_MAX, SEQ_STEP, SLOT_BYTES_BEFORE_FRAME};

/// Fields of the state that runs share: next slot, lap, slots, interface.
pub(super) mod state {
    pub(in super::super) const NEXT: i16 = 0;
    pub(in super::super) const LAP: i16 = 4;
    pub(in super::super) const SLOT_COUNT: i16 = 8;
    pub(in super::super) const IFINDEX: i16 = 12;
    pub(in super::super) const BYTES: usize = 16;
}

/// Letters that a target gets: a lap's lowest four digits to the base of 16, from `a` on, lowest first.
const LETTER_A_FOUR_TIMES: i32 = 0x6161_6161;

/// Bits of the lap that change the port; those above them stay, so that a client's port never looks like a server's.
const PORT_LAP_MASK: i32 = 0x1fff;

const MAP_LOOKUP_ELEM: i32 = 1;
const REDIRECT: i32 = 23;
const XDP_ADJUST_TAIL: i32 = 65;
const XDP_STORE_BYTES: i32 = 190;

/// A register.
type Register = u8;
const RESULT: Register = 0;
const A: Register = 1;
const B: Register = 2;
const C: Register = 3;
const D: Register = 4;
const CONTEXT: Register = 6;
const STATE: Register = 7;
const SLOT: Register = 8;
const LAP: Register = 9;
const STACK: Register = 10;

/// An instruction of several.
#[derive(Clone, Copy)]
enum Operation {
    Add = 0x00,
    Multiply = 0x20,
    Or = 0x40,
    And = 0x50,
    Left = 0x60,
    Xor = 0xa0,
    Move = 0xb0,
}

/// Bytes of a number in memory.
#[derive(Clone, Copy)]
enum Width {
    Two = 0x08,
    Four = 0x00,
}

/// Where a jump goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Label {
    Advanced,
    End,
}

/// The program for this state, these slots and this many addresses a lap.
pub(super) fn program(state_fd: i32, slots_fd: i32, address_step: u32) -> Vec<u64> {
    let mut code = Assembler::default();
    code.alu(Operation::Move, CONTEXT, A);
    code.map(STATE, 2, state_fd);
    take_slot(&mut code, slots_fd);
    rewrite(&mut code, address_step);
    send(&mut code);
    code.label(Label::End);
    code.alu_with(Operation::Move, RESULT, 0);
    code.exit();
    code.finish()
}

/// Leaves the slot and the lap in their registers, and the next slot in the state.
fn take_slot(code: &mut Assembler, slots_fd: i32) {
    code.load(Width::Four, A, STATE, state::NEXT);
    code.load(Width::Four, LAP, STATE, state::LAP);
    code.store(Width::Four, STACK, -4, A);
    code.alu_with(Operation::Add, A, 1);
    code.load(Width::Four, B, STATE, state::SLOT_COUNT);
    code.jump_if_less(A, B, Label::Advanced);
    code.alu_with(Operation::Move, A, 0);
    code.alu(Operation::Move, C, LAP);
    code.alu_with(Operation::Add, C, 1);
    code.store(Width::Four, STATE, state::LAP, C);
    code.label(Label::Advanced);
    code.store(Width::Four, STATE, state::NEXT, A);
    code.map(A, 1, slots_fd);
    code.alu(Operation::Move, B, STACK);
    code.alu_with(Operation::Add, B, -4);
    code.call(MAP_LOOKUP_ELEM);
    code.jump_if_zero(RESULT, Label::End);
    code.alu(Operation::Move, SLOT, RESULT);
}

/// Writes what the lap changes into the slot's frame.
fn rewrite(code: &mut Assembler, address_step: u32) {
    code.lap_times(A, address_step);
    code.load(Width::Four, B, SLOT, slot::ADDRESS);
    code.alu(Operation::Add, B, A);
    code.put(Width::Four, B, (slot::ADDRESS_AT, 0));

    code.alu(Operation::Move, A, LAP);
    code.alu_with(Operation::And, A, PORT_LAP_MASK);
    code.load(Width::Four, B, SLOT, slot::PORT);
    code.alu(Operation::Xor, B, A);
    code.put(Width::Two, B, (slot::PORT_AT, 0));

    code.lap_times(A, SEQ_STEP);
    code.load(Width::Four, B, SLOT, slot::SEQ);
    code.alu(Operation::Add, B, A);
    code.put(Width::Four, B, (slot::SEQ_AT, 0));

    code.load(Width::Four, B, SLOT, slot::ACK_STEP);
    code.alu(Operation::Multiply, B, LAP);
    code.load(Width::Four, A, SLOT, slot::ACK);
    code.alu(Operation::Add, B, A);
    code.put(Width::Four, B, (slot::SEQ_AT, 4));

    code.alu_with(Operation::Move, B, 0);
    for digit in 0..4 {
        code.alu(Operation::Move, A, LAP);
        code.alu_with(Operation::And, A, 0xf << (4 * digit));
        code.alu_with(Operation::Left, A, 4 * digit);
        code.alu(Operation::Or, B, A);
    }
    code.alu_with(Operation::Add, B, LETTER_A_FOUR_TIMES);
    code.place(slot::TARGET_AT);
    code.store(Width::Four, C, SLOT_BYTES_BEFORE_FRAME, B);
}

/// Makes the frame in hand the slot's, and sends it on.
fn send(code: &mut Assembler) {
    code.load(Width::Four, B, SLOT, slot::LEN);
    code.alu_with(Operation::Add, B, -(FRAME_BYTES_MAX as i32));
    code.alu(Operation::Move, A, CONTEXT);
    code.call(XDP_ADJUST_TAIL);
    code.load(Width::Four, D, SLOT, slot::LEN);
    code.jump_if_zero(D, Label::End);
    code.jump_if_greater(D, FRAME_BYTES_MAX as i32, Label::End);
    code.alu(Operation::Move, A, CONTEXT);
    code.alu_with(Operation::Move, B, 0);
    code.alu(Operation::Move, C, SLOT);
    code.alu_with(Operation::Add, C, i32::from(SLOT_BYTES_BEFORE_FRAME));
    code.call(XDP_STORE_BYTES);
    code.load(Width::Four, A, STATE, state::IFINDEX);
    code.alu_with(Operation::Move, B, 0);
    code.call(REDIRECT);
    code.exit();
}

/// Puts instructions behind one another and jumps to their places.
#[derive(Default)]
struct Assembler {
    code: Vec<u64>,
    labels: Vec<(Label, usize)>,
    jumps: Vec<(usize, Label)>,
}

impl Assembler {
    fn push(&mut self, opcode: u8, (to, from): (Register, Register), offset: i16, value: i32) {
        let registers = u64::from(from << 4 | to);
        let offset = u64::from(offset as u16);
        self.code.push(u64::from(opcode) | registers << 8 | offset << 16 | u64::from(value as u32) << 32);
    }

    fn alu(&mut self, operation: Operation, to: Register, from: Register) {
        self.push(0x0f | operation as u8, (to, from), 0, 0);
    }

    fn alu_with(&mut self, operation: Operation, to: Register, value: i32) {
        self.push(0x07 | operation as u8, (to, 0), 0, value);
    }

    fn load(&mut self, width: Width, to: Register, from: Register, offset: i16) {
        self.push(0x61 | width as u8, (to, from), offset, 0);
    }

    fn store(&mut self, width: Width, to: Register, offset: i16, from: Register) {
        self.push(0x63 | width as u8, (to, from), offset, 0);
    }

    /// A map (`kind` 1), or the one value of a map (`kind` 2).
    fn map(&mut self, to: Register, kind: u8, fd: i32) {
        self.push(0x18, (to, kind), 0, fd);
        self.push(0, (0, 0), 0, 0);
    }

    /// The lap times a number, in 32 bits.
    fn lap_times(&mut self, to: Register, factor: u32) {
        self.alu(Operation::Move, to, LAP);
        self.push(0x04 | Operation::Multiply as u8, (to, 0), 0, factor as i32);
    }

    /// Leaves in `C` the slot, moved by the offset that one of its fields holds.
    fn place(&mut self, field: i16) {
        self.load(Width::Two, C, SLOT, field);
        self.alu_with(Operation::And, C, slot::OFFSET_MASK);
        self.alu(Operation::Add, C, SLOT);
    }

    /// Writes a number in network order so many bytes behind the offset that a field holds.
    fn put(&mut self, width: Width, from: Register, (field, behind): (i16, i16)) {
        let bits = match width {
            Width::Two => 16,
            Width::Four => 32,
        };
        self.push(0xdc, (from, 0), 0, bits);
        self.place(field);
        self.store(width, C, SLOT_BYTES_BEFORE_FRAME + behind, from);
    }

    fn call(&mut self, helper: i32) {
        self.push(0x85, (0, 0), 0, helper);
    }

    fn exit(&mut self) {
        self.push(0x95, (0, 0), 0, 0);
    }

    fn jump(&mut self, opcode: u8, registers: (Register, Register), value: i32, label: Label) {
        self.jumps.push((self.code.len(), label));
        self.push(opcode, registers, 0, value);
    }

    fn jump_if_less(&mut self, a: Register, b: Register, label: Label) {
        self.jump(0xad, (a, b), 0, label);
    }

    fn jump_if_greater(&mut self, a: Register, value: i32, label: Label) {
        self.jump(0x25, (a, 0), value, label);
    }

    fn jump_if_zero(&mut self, a: Register, label: Label) {
        self.jump(0x15, (a, 0), 0, label);
    }

    fn label(&mut self, label: Label) {
        self.labels.push((label, self.code.len()));
    }

    fn finish(mut self) -> Vec<u64> {
        for (at, wanted) in self.jumps {
            let (_, place) =
                self.labels.iter().find(|(label, _)| *label == wanted).expect("every label is placed");
            let distance = (*place - at - 1) as u16;
            self.code[at] |= u64::from(distance) << 16;
        }
        self.code
    }
}
