//! Forms of floats. Arrangements of 16 bits are for cores that compute with them.

use super::{Form, Kind, Sizing, forms, lists};

forms! {
    " <=vd>.<T>, <vn>.<T>, <vm>.<T>", Floats, FLOATS {
        FADD_V "fadd" 0x0e20_d400 FloatAdd;
        FSUB_V "fsub" 0x0ea0_d400 FloatAdd;
        FMUL_V "fmul" 0x2e20_dc00 FloatMultiply;
        FDIV_V "fdiv" 0x2e20_fc00 FloatDivide;
        FMAX_V "fmax" 0x0e20_f400 FloatCompare;
        FMIN_V "fmin" 0x0ea0_f400 FloatCompare;
        FMAXNM_V "fmaxnm" 0x0e20_c400 FloatCompare;
        FMINNM_V "fminnm" 0x0ea0_c400 FloatCompare;
        FCMEQ_V "fcmeq" 0x0e20_e400 FloatCompare;
        FCMGT_V "fcmgt" 0x2ea0_e400 FloatCompare;
        FCMGE_V "fcmge" 0x2e20_e400 FloatCompare;
        FADDP_V "faddp" 0x2e20_d400 FloatAdd;
        FMAXNMP_V "fmaxnmp" 0x2e20_c400 FloatCompare;
        FABD_V "fabd" 0x2ea0_d400 FloatAdd;
    }
    " <+vd>.<T>, <vn>.<T>, <vm>.<T>", Floats, FLOATS {
        FMLA_V "fmla" 0x0e20_cc00 FloatMultiplyAdd;
        FMLS_V "fmls" 0x0ea0_cc00 FloatMultiplyAdd;
    }
    " <=vd>.<T>, <vn>.<T>", FloatsOne, FLOATS {
        FABS_V "fabs" 0x0ea0_f800 FloatCompare;
        FNEG_V "fneg" 0x2ea0_f800 FloatCompare;
        FSQRT_V "fsqrt" 0x2ea1_f800 FloatRoot;
        FRINTN_V "frintn" 0x0e21_8800 FloatConvert;
        FRINTM_V "frintm" 0x0e21_9800 FloatConvert;
        FRINTP_V "frintp" 0x0ea1_8800 FloatConvert;
        FRINTZ_V "frintz" 0x0ea1_9800 FloatConvert;
        FRINTA_V "frinta" 0x2e21_8800 FloatConvert;
        FRINTX_V "frintx" 0x2e21_9800 FloatConvert;
        FCVTNS_V "fcvtns" 0x0e21_a800 FloatConvert;
        FCVTMS_V "fcvtms" 0x0e21_b800 FloatConvert;
        FCVTPS_V "fcvtps" 0x0ea1_a800 FloatConvert;
        FCVTZS_V "fcvtzs" 0x0ea1_b800 FloatConvert;
        FCVTZU_V "fcvtzu" 0x2ea1_b800 FloatConvert;
        FCVTAS_V "fcvtas" 0x0e21_c800 FloatConvert;
        SCVTF_V "scvtf" 0x0e21_d800 FloatConvert;
        UCVTF_V "ucvtf" 0x2e21_d800 FloatConvert;
    }
    " <=vd>.<T>, <vn>.<T>, #0.0", FloatsOne, FLOATS {
        FCMEQ0_V "fcmeq" 0x0ea0_d800 FloatCompare;
        FCMGT0_V "fcmgt" 0x0ea0_c800 FloatCompare;
        FCMGE0_V "fcmge" 0x2ea0_c800 FloatCompare;
        FCMLE0_V "fcmle" 0x2ea0_d800 FloatCompare;
        FCMLT0_V "fcmlt" 0x0ea0_e800 FloatCompare;
    }
    " <=vd>.<W>, <vn>.<T>", FloatLengths, LOWER_HS { FCVTL_V "fcvtl" 0x0e21_7800 FloatLength; }
    " <=vd>.<W>, <vn>.<T>", FloatLengths, UPPER_HS { FCVTL2_V "fcvtl2" 0x0e21_7800 FloatLength; }
    " <=vd>.<T>, <vn>.<W>", FloatLengths, LOWER_HS { FCVTN_V "fcvtn" 0x0e21_6800 FloatLength; }
    " <+vd>.<T>, <vn>.<W>", FloatLengths, UPPER_HS { FCVTN2_V "fcvtn2" 0x0e21_6800 FloatLength; }
    " <+vd>.<T>, <vn>.<T>, <vm>.s[<hl>]", Floats, S {
        FMLA_LANE "fmla" 0x0f80_1000 FloatMultiplyAdd;
        FMLS_LANE "fmls" 0x0f80_5000 FloatMultiplyAdd;
    }
    " <=vd>.<T>, <vn>.<T>, <vm>.s[<hl>]", Floats, S { FMUL_LANE "fmul" 0x0f80_9000 FloatMultiply; }
    " <+vd>.<T>, <vn>.<T>, <vm>.d[<hi>]", Floats, D {
        FMLA_LANE_D "fmla" 0x0f80_1000 FloatMultiplyAdd;
        FMLS_LANE_D "fmls" 0x0f80_5000 FloatMultiplyAdd;
    }
    " <=vd>.<T>, <vn>.<T>, <vm>.d[<hi>]", Floats, D { FMUL_LANE_D "fmul" 0x0f80_9000 FloatMultiply; }
    " <+vd>.<T>, <vn>.<T>, <vk>.h[<hlm>]", Long, H {
        FMLA_LANE_H "fmla" 0x0f00_1000 FloatMultiplyAdd;
        FMLS_LANE_H "fmls" 0x0f00_5000 FloatMultiplyAdd;
    }
    " <=vd>.<T>, <vn>.<T>, <vk>.h[<hlm>]", Long, H { FMUL_LANE_H "fmul" 0x0f00_9000 FloatMultiply; }
    " <=sd>, <vn>.<T>", Long, UPPER_S {
        FMAXV_V "fmaxv" 0x2e30_f800 Across;
        FMINV_V "fminv" 0x2eb0_f800 Across;
        FMAXNMV_V "fmaxnmv" 0x2e30_c800 Across;
        FMINNMV_V "fminnmv" 0x2eb0_c800 Across;
    }
    " <=vd>.<T>, #<float>", Long, S { FMOV_V "fmov" 0x0f00_f400 Logic; }
    " <=vd>.<T>, #<float>", Long, D { FMOV_V_D "fmov" 0x2f00_f400 Logic; }
    " <=vd>.<T>, #<float>", Long, H { FMOV_V_H "fmov" 0x0f00_fc00 Logic; }

    // Between the two sorts of registers, and one float.
    " <=sd>, <wn>", Fixed, NONE { FMOV_TO_S "fmov" 0x1e27_0000 FromGeneral; }
    " <=dd>, <xn>", Fixed, NONE { FMOV_TO_D "fmov" 0x9e67_0000 FromGeneral; }
    " <=wd>, <sn>", Fixed, NONE { FMOV_FROM_S "fmov" 0x1e26_0000 ToGeneral; }
    " <=xd>, <dn>", Fixed, NONE { FMOV_FROM_D "fmov" 0x9e66_0000 ToGeneral; }
    " <=sd>, <sn>", Fixed, NONE {
        FMOV_SS "fmov" 0x1e20_4000 Logic;
        FSQRT_S "fsqrt" 0x1e21_c000 FloatRoot;
    }
    " <=dd>, <dn>", Fixed, NONE {
        FMOV_DD "fmov" 0x1e60_4000 Logic;
        FSQRT_D "fsqrt" 0x1e61_c000 FloatRoot;
    }
    " <=sd>, <sn>, <sm>", Fixed, NONE {
        FADD_S "fadd" 0x1e20_2800 FloatAdd;
        FSUB_S "fsub" 0x1e20_3800 FloatAdd;
        FMUL_S "fmul" 0x1e20_0800 FloatMultiply;
        FDIV_S "fdiv" 0x1e20_1800 FloatDivide;
    }
    " <=dd>, <dn>, <dm>", Fixed, NONE {
        FADD_D "fadd" 0x1e60_2800 FloatAdd;
        FSUB_D "fsub" 0x1e60_3800 FloatAdd;
        FMUL_D "fmul" 0x1e60_0800 FloatMultiply;
        FDIV_D "fdiv" 0x1e60_1800 FloatDivide;
    }
}
