//! Forms of general registers.

use super::{Form, Kind, Sizing, forms, lists};

forms! {
    " <=xd>, <xn>, <xm>", Fixed, NONE {
        ADD_X "add" 0x8b00_0000 Integer;
        SUB_X "sub" 0xcb00_0000 Integer;
        AND_X "and" 0x8a00_0000 Integer;
        BIC_X "bic" 0x8a20_0000 Integer;
        ORR_X "orr" 0xaa00_0000 Integer;
        EOR_X "eor" 0xca00_0000 Integer;
        SUBS_X "subs" 0xeb00_0000 Integer;
        MUL_X "mul" 0x9b00_7c00 Multiply;
        SMULH "smulh" 0x9b40_7c00 MultiplyHigh;
        UMULH "umulh" 0x9bc0_7c00 MultiplyHigh;
        SDIV "sdiv" 0x9ac0_0c00 Multiply;
        UDIV "udiv" 0x9ac0_0800 Multiply;
        LSL_X "lsl" 0x9ac0_2000 Integer;
        LSR_X "lsr" 0x9ac0_2400 Integer;
        ASR_X "asr" 0x9ac0_2800 Integer;
    }
    " <=wd>, <wn>, <wm>", Fixed, NONE {
        ADD_W "add" 0x0b00_0000 Integer;
        SUB_W "sub" 0x4b00_0000 Integer;
        MUL_W "mul" 0x1b00_7c00 Multiply;
        SDIV_W "sdiv" 0x1ac0_0c00 Multiply;
        UDIV_W "udiv" 0x1ac0_0800 Multiply;
    }
    " <=xd>, <wn>, <wm>", Fixed, NONE {
        SMULL_X "smull" 0x9b20_7c00 Multiply;
        UMULL_X "umull" 0x9ba0_7c00 Multiply;
    }
    " <=xd>, <xn>, <xm>, lsl #<u6>", Fixed, NONE {
        ADD_X_LSL "add" 0x8b00_0000 IntegerShifted;
        SUB_X_LSL "sub" 0xcb00_0000 IntegerShifted;
        ORR_X_LSL "orr" 0xaa00_0000 IntegerShifted;
    }
    " <=xd>, <xn>, <xm>, <xa>", Fixed, NONE {
        MADD "madd" 0x9b00_0000 Multiply;
        MSUB "msub" 0x9b00_8000 Multiply;
    }
    " <=xd>, <xm>", Fixed, NONE {
        MOV_X "mov" 0xaa00_03e0 Integer;
        NEG_X "neg" 0xcb00_03e0 Integer;
    }
    " <=wd>, <wm>", Fixed, NONE {
        MOV_W "mov" 0x2a00_03e0 Integer;
    }
    " <=xd>, #<u16>, lsl #<half*16>", Fixed, NONE {
        MOVZ "movz" 0xd280_0000 Integer;
        MOVN "movn" 0x9280_0000 Integer;
    }
    " <+xd>, #<u16>, lsl #<half*16>", Fixed, NONE {
        MOVK "movk" 0xf280_0000 Integer;
    }
    " <=pd>, <pn>, #<u12>", Fixed, NONE {
        ADD_IMM "add" 0x9100_0000 Integer;
        SUB_IMM "sub" 0xd100_0000 Integer;
    }
    " <=pd>, <pn>, #<u12>, lsl #12", Fixed, NONE {
        ADD_IMM_LSL12 "add" 0x9140_0000 Integer;
        SUB_IMM_LSL12 "sub" 0xd140_0000 Integer;
    }
    " <=xd>, <pn>, #<u12>", Fixed, NONE {
        ADDS_IMM "adds" 0xb100_0000 Integer;
        SUBS_IMM "subs" 0xf100_0000 Integer;
    }
    " <=pd>, <xn>, #<mask>", Fixed, NONE {
        AND_IMM "and" 0x9200_0000 Integer;
        ORR_IMM "orr" 0xb200_0000 Integer;
        EOR_IMM "eor" 0xd200_0000 Integer;
    }
    " <xn>, #<mask>", Fixed, NONE {
        TST_IMM "tst" 0xf200_001f Integer;
    }
    " <xn>, <xm>", Fixed, NONE {
        CMP_X "cmp" 0xeb00_001f Integer;
    }
    " <pn>, #<u12>", Fixed, NONE {
        CMP_IMM "cmp" 0xf100_001f Integer;
        CMN_IMM "cmn" 0xb100_001f Integer;
    }
    " <=xd>, <xn>, #<lsl>", Fixed, NONE {
        LSL_IMM "lsl" 0xd340_0000 Integer;
    }
    " <=xd>, <xn>, #<shift>", Fixed, NONE {
        LSR_IMM "lsr" 0xd340_fc00 Integer;
        ASR_IMM "asr" 0x9340_fc00 Integer;
    }
    " <=xd>, <wn>", Fixed, NONE {
        SXTB "sxtb" 0x9340_1c00 Integer;
        SXTH "sxth" 0x9340_3c00 Integer;
        SXTW "sxtw" 0x9340_7c00 Integer;
    }
    " <=wd>, <wn>", Fixed, NONE {
        UXTB "uxtb" 0x5300_1c00 Integer;
        UXTH "uxth" 0x5300_3c00 Integer;
    }
    " <=xd>, <xn>", Fixed, NONE {
        CLZ_X "clz" 0xdac0_1000 Integer;
    }
    " <=xd>, <xn>, <xm>, <condition>", Fixed, NONE {
        CSEL "csel" 0x9a80_0000 Integer;
        CSINC "csinc" 0x9a80_0400 Integer;
        CSNEG "csneg" 0xda80_0400 Integer;
    }
    " <=xd>, <inverted>", Fixed, NONE {
        CSET "cset" 0x9a9f_07e0 Integer;
    }
    " <to26*4>", Fixed, NONE {
        B "b" 0x1400_0000 Branch;
    }
    "<branch> <to19*4>", Fixed, NONE {
        B_COND "b." 0x5400_0000 Branch;
    }
    " <xt>, <to19*4>", Fixed, NONE {
        CBZ "cbz" 0xb400_0000 Branch;
        CBNZ "cbnz" 0xb500_0000 Branch;
    }
    " <=xd>, <to21>", Fixed, NONE {
        ADR "adr" 0x1000_0000 Integer;
    }
    " #<u16>", Fixed, NONE {
        BRK "brk" 0xd420_0000 Branch;
    }
    "", Fixed, NONE {
        RET "ret" 0xd65f_03c0 Branch;
        NOP "nop" 0xd503_201f Integer;
        BTI_C "bti c" 0xd503_245f Integer;
    }
}
