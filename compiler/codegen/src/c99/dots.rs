//! Runs of products: the loop over the depth of a tile of sums, as one named operation with bodies for several machines.
//!
//! Not the loops around it and not what becomes of the sums. The idea: a loop that loads a group of bytes for each row and each column of a tile and adds
//! their products to a sum for each pair does nothing else, so it is recognised as a whole ([`Run::of_loop`]) and called by a name that says all that is constant about it; from the name the library
//! writes the function ([`text`]). On cores with DSP the loop is one block of assembly: the only form whose speed depends neither on the compiler nor on its options
//! (registers are short, and each compiler spills others). What is not such a core has plain C over the same weights.

use cranelite_tile::{Elem, Index, Kernel, Loop, Op, Place, Scalar, Stmt, Value};
use std::collections::BTreeMap;
use std::fmt::Write;

/// A tile of sums, to each of which the products of a row and a column are added, over so many groups.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// First group of the first row and of the first column.
    pub row: Place,
    pub column: Place,
    pub groups: Index,
    /// How often that is done, the row moving on each time.
    pub segments: Index,
    pub shape: Shape,
    /// The sums before and after, row by row: one column each, or as many as they have lanes.
    pub before: Vec<Value>,
    pub after: Vec<Value>,
    /// All other values that it computes: nobody else may need them.
    pub inside: Vec<Value>,
}

/// What the name of the function says.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Where each row begins, in bytes from the first.
    rows: Vec<i64>,
    columns: usize,
    row: Elem,
    column: Elem,
    group: usize,
    /// Where it is constant.
    groups: Option<i64>,
    /// Where one more group begins, in bytes from the first, and how many bytes of it there are: it overlaps the last of the others, or is all there is.
    last: Option<(i64, usize)>,
    /// From one segment to the next, in bytes of the row.
    segment: Option<i64>,
    /// Behind the sums of each row that of its bytes alone.
    sum: bool,
}

/// Bytes that are loaded: `count` of a group, or all, which is repeated to fill the lanes.
#[derive(Clone, Copy)]
struct Loaded<'a> {
    place: &'a Place,
    elem: Elem,
    lanes: usize,
    group: usize,
    count: Option<usize>,
}

/// Operands of dots in the order of their first use.
#[derive(Default)]
struct Operands<'a> {
    places: Vec<(Value, Loaded<'a>)>,
}

impl<'a> Operands<'a> {
    fn number(&mut self, v: Value, loads: &BTreeMap<Value, Loaded<'a>>, lanes: usize) -> Option<usize> {
        if let Some(i) = self.places.iter().position(|p| p.0 == v) {
            return Some(i);
        }
        let loaded = *loads.get(&v)?;
        (loaded.lanes == lanes).then(|| self.places.push((v, loaded)))?;
        Some(self.places.len() - 1)
    }

    /// One base, one type, and the distances from the first.
    fn distances(&self) -> Option<Vec<i64>> {
        let first = self.places.first()?.1;
        let distance = |(_, l): &(Value, Loaded)| {
            let is_alike = l.place.base == first.place.base && l.elem == first.elem;
            (l.place.at.clone() - first.place.at.clone()).as_constant().filter(|_| is_alike)
        };
        self.places.iter().map(distance).collect()
    }
}

impl Run {
    /// If a loop is one: of groups, or of segments of so many groups each.
    pub fn of_loop(kernel: &Kernel, l: &Loop, definitions: &[Option<&Op>]) -> Option<Run> {
        let run = Run::of_groups(kernel, l, definitions).or_else(|| Run::of_segments(kernel, l, definitions))?;
        // Its sums are all that the loop carries.
        let carried = |(acc, next): (&Value, &Value)| l.carried.iter().find(|c| c.inside == *acc && c.next == *next);
        let carried: Vec<_> = run.before.iter().zip(&run.after).map(carried).collect::<Option<_>>()?;
        let start = |p: &Place| Place { base: p.base, at: p.at.retain_counters(|c| c != l.counter) };
        (l.step == 1 && l.carried.len() == carried.len()).then(|| Run {
            row: start(&run.row),
            column: start(&run.column),
            before: carried.iter().map(|c| c.init).collect(),
            after: carried.iter().map(|c| c.result).collect(),
            ..run
        })
    }

    /// Places and sums are those of the body.
    fn of_groups(kernel: &Kernel, l: &Loop, definitions: &[Option<&Op>]) -> Option<Run> {
        let stmts: Vec<&Stmt> = l.body.iter().collect();
        let run = tile(kernel, &stmts, definitions).filter(|r| r.shape.last.is_none())?;
        let advances = |p: &Place, bytes: usize| p.at.part_with(l.counter) == Index::from(l.counter) * bytes as i64;
        let shape = Shape { groups: l.count.as_constant(), ..run.shape.clone() };
        (advances(&run.row, shape.group) && advances(&run.column, shape.group * shape.columns)).then(|| Run {
            groups: l.count.clone(),
            shape,
            ..run
        })
    }

    fn of_segments(kernel: &Kernel, l: &Loop, definitions: &[Option<&Op>]) -> Option<Run> {
        let (inner, rest) = match l.body.split_first()? {
            (Stmt::Loop(inner), rest) => (Some(Run::of_loop(kernel, inner, definitions)?), rest),
            _ => (None, &l.body[..]),
        };
        let last = if rest.is_empty() { None } else { Some(tile(kernel, &rest.iter().collect::<Vec<_>>(), definitions)?) };
        let run = match (inner, last) {
            (Some(run), None) | (None, Some(run)) => run,
            (Some(run), Some(last)) => run.and(last)?,
            (None, None) => return None,
        };
        let step = |p: &Place| match p.at.part_with(l.counter).terms() {
            [t] if t.params.is_empty() => Some(t.coefficient),
            _ => None,
        };
        let packed = run.shape.steps()? * (run.shape.columns * run.shape.group) as i64;
        let segment = step(&run.row)?;
        let is_one = run.shape.segment.is_none() && step(&run.column)? == packed && (0..4096).contains(&segment);
        is_one.then(|| Run { segments: l.count.clone(), shape: Shape { segment: Some(segment), ..run.shape.clone() }, ..run })
    }

    /// With one more group behind it.
    pub fn and(self, last: Run) -> Option<Run> {
        let groups = self.shape.groups.filter(|_| self.shape.segment.is_none() && self.shape.last.is_none())?;
        let panel = groups * (self.shape.columns * self.shape.group) as i64;
        let offset = (last.row.at.clone() - self.row.at.clone()).as_constant().filter(|_| last.row.base == self.row.base)?;
        let is_next = last.column.base == self.column.base && last.column.at == self.column.at.clone() + panel;
        let is_alike = Shape { groups: Some(groups), last: None, ..last.shape.clone() } == self.shape;
        let count = last.shape.last.map_or(self.shape.group, |l| l.1);
        (is_next && is_alike && last.before == self.after && (0..4096).contains(&offset)).then_some(Run {
            after: last.after,
            shape: Shape { last: Some((offset, count)), ..self.shape },
            ..self
        })
    }

    /// If some statements begin with one of a single group, and how many they are.
    pub fn of_group(kernel: &Kernel, stmts: &[Stmt], uses: &[u32], definitions: &[Option<&Op>]) -> Option<(Run, usize)> {
        let is_part = |s: &&Stmt| match s {
            Stmt::Let(v, Op::Load { .. } | Op::LoadSplat { .. }) => is_byte(kernel.ty(*v).elem),
            Stmt::Let(_, Op::Dot { .. }) => true,
            _ => false,
        };
        let all: Vec<&Stmt> = stmts.iter().take_while(is_part).collect();
        let last = all.iter().rposition(|s| matches!(s, Stmt::Let(_, Op::Dot { .. })))?;
        let run = tile(kernel, &all[..=last], definitions)?;
        let (rows, columns) = run.inside.split_at(run.shape.rows.len());
        let are_used = |values: &[Value], times: usize| values.iter().all(|v| uses[v.0 as usize] as usize == times);
        let times = columns.len() + usize::from(run.shape.sum);
        (are_used(rows, times) && are_used(columns, rows.len())).then_some((run.clone(), last + 1))
    }
}

fn is_byte(elem: Elem) -> bool {
    matches!(elem, Elem::I8 | Elem::U8)
}

/// The tile of one group that loads and dots are, if they are one and nothing else.
fn tile(kernel: &Kernel, stmts: &[&Stmt], definitions: &[Option<&Op>]) -> Option<Run> {
    let is_one = |v: Value| definitions[v.0 as usize] == Some(&Op::Const(Scalar::Int(1)));
    let mut loads = BTreeMap::new();
    let mut dots = vec![];
    let mut lanes = 0;
    for s in stmts {
        let Stmt::Let(v, op) = s else { return None };
        let ty = kernel.ty(*v);
        match op {
            Op::Load { place, count: None } if is_byte(ty.elem) => {
                loads.insert(*v, Loaded { place, elem: ty.elem, lanes: ty.lanes as usize, group: ty.lanes as usize, count: None });
            }
            Op::LoadSplat { place, group, count } if is_byte(ty.elem) => {
                let count = count.filter(|c| c < group).map(|c| c as usize);
                loads.insert(*v, Loaded { place, elem: ty.elem, lanes: ty.lanes as usize, group: *group as usize, count });
            }
            Op::Dot { group, acc, a, b } => {
                lanes = ty.lanes as usize;
                dots.push((*v, *group as usize, *acc, *a, *b));
            }
            _ => return None,
        }
    }
    let group = dots.first()?.1;
    if !matches!(group, 4 | 16) {
        return None;
    }
    let (mut rows, mut columns) = (Operands::default(), Operands::default());
    let mut cells = BTreeMap::new();
    for (v, g, acc, a, b) in &dots {
        let column = if is_one(*b) { usize::MAX } else { columns.number(*b, &loads, lanes * group)? };
        let at = (rows.number(*a, &loads, lanes * group)?, column);
        // Each sum once, from outside.
        let is_new = cells.insert(at, (*acc, *v)).is_none() && !dots.iter().any(|d| d.0 == *acc);
        if *g != group || !is_new || kernel.ty(*v).lanes as usize != lanes {
            return None;
        }
    }
    let (m, n) = (rows.places.len(), columns.places.len());
    let panel: Vec<i64> = (0..n).map(|j| (j * lanes * group) as i64).collect();
    let count = rows.places[0].1.count;
    let are_rows = rows.places.iter().all(|(_, l)| l.group == group && l.count == count);
    let are_columns = columns.places.iter().all(|(_, l)| l.group == l.lanes);
    let sum = cells.keys().any(|at| at.1 == usize::MAX);
    if cells.len() != m * (n + usize::from(sum))
        || (sum && lanes != 1)
        || loads.len() != m + n
        || columns.distances()? != panel
        || !are_rows
        || !are_columns
    {
        return None;
    }
    let shape = Shape {
        rows: rows.distances()?,
        columns: n * lanes,
        row: rows.places[0].1.elem,
        column: columns.places[0].1.elem,
        group,
        groups: Some(if count.is_some() { 0 } else { 1 }),
        last: count.map(|c| (0, c)),
        segment: None,
        sum,
    };
    let sums: Vec<(Value, Value)> = cells.into_values().collect();
    Some(Run {
        row: rows.places[0].1.place.clone(),
        column: columns.places[0].1.place.clone(),
        groups: shape.groups.unwrap_or(1).into(),
        segments: 1.into(),
        before: sums.iter().map(|s| s.0).collect(),
        after: sums.iter().map(|s| s.1).collect(),
        inside: rows.places.iter().chain(&columns.places).map(|p| p.0).collect(),
        shape,
    })
}

fn short(elem: Elem) -> &'static str {
    if elem == Elem::U8 { "u8" } else { "i8" }
}

impl Shape {
    /// dots_ROWSxCOLUMNS_TYPES_GROUP_nGROUPS, the group that overlaps the last, the segment, then the distances of further rows.
    pub fn name(&self) -> String {
        let number = |n: i64| n.to_string().replace('-', "m");
        let groups = self.groups.map_or("x".into(), |n| n.to_string());
        let (m, n) = (self.rows.len(), self.columns);
        let mut name = format!("dots_{m}x{n}_{}_{}_{}_n{groups}", short(self.row), short(self.column), self.group);
        let parts = self
            .last
            .map(|(at, count)| format!("l{}of{count}", number(at)))
            .into_iter()
            .chain(self.segment.map(|s| format!("s{}", number(s))));
        let parts = parts.chain(self.sum.then(|| "sum".into()));
        for part in parts.chain(self.rows[1..].iter().map(|d| number(*d))) {
            write!(name, "_{part}").expect("a string takes everything");
        }
        name
    }

    fn parse(name: &str) -> Option<Shape> {
        let parts: Vec<&str> = name.split('_').collect();
        let ["dots", tile, row, column, group, groups, rest @ ..] = &parts[..] else { return None };
        let (m, n) = tile.split_once('x')?;
        let elem = |text: &str| if text == "u8" { Elem::U8 } else { Elem::I8 };
        let number = |text: &str| text.replace('m', "-").parse::<i64>().ok();
        let (mut rows, mut last, mut segment, mut sum) = (vec![0], None, None, false);
        for part in rest {
            if *part == "sum" {
                sum = true;
                continue;
            }
            match (part.strip_prefix('l'), part.strip_prefix('s')) {
                (Some(l), _) => {
                    let (at, count) = l.split_once("of")?;
                    last = Some((number(at)?, count.parse().ok()?));
                }
                (_, Some(s)) => segment = Some(number(s)?),
                _ => rows.push(number(part)?),
            }
        }
        (rows.len() == m.parse::<usize>().ok()?).then_some(())?;
        Some(Shape {
            rows,
            columns: n.parse().ok()?,
            row: elem(row),
            column: elem(column),
            group: group.parse().ok()?,
            groups: groups.strip_prefix('n')?.parse().ok(),
            last,
            segment,
            sum,
        })
    }

    /// Groups of a segment, where that is constant.
    fn steps(&self) -> Option<i64> {
        Some(self.groups? + i64::from(self.last.is_some()))
    }

    /// Groups of a turn of the assembly's inner loop; all where that is no loop.
    fn at_once(&self) -> i64 {
        match self.groups {
            Some(n) if n <= 4 => n,
            Some(n) => [4, 3, 2].into_iter().find(|u| n % u == 0).unwrap_or(1),
            None => 1,
        }
    }

    /// Whether LDR takes all distances, and the core has the registers.
    fn is_for_assembly(&self) -> bool {
        let furthest = 4 * self.at_once().max(self.last.map_or(0, |l| l.0) / 4 + 1);
        let is_whole = self.last.is_none_or(|l| l.1 == self.group);
        // Six sums, both halves of two that are kept and of one that passes, and two pointers take all registers.
        let (m, n) = (self.rows.len(), self.columns);
        self.group == 4
            && is_whole
            && !self.sum
            && m * n <= 6
            && m.min(n) <= 2
            && self.rows.iter().all(|d| (0..4096 - furthest).contains(d))
    }
}

/// The function of a name; `None` if it is none of these.
pub fn text(name: &str) -> Option<String> {
    let shape = Shape::parse(name)?;
    let (m, n, group) = (shape.rows.len(), shape.columns, shape.group);
    let mut out = format!(
        "/* {m} by {n} sums: to each the products of its row of x and its column of the panel w are added, in groups of {group} bytes. */\n"
    );
    let parameters = ["int32_t *sums", "const uint8_t *x", "const uint8_t *w", "ptrdiff_t groups", "ptrdiff_t segments"];
    let unused = parameters.map(|p| format!("{p} CRANELITE_UNUSED")).join(", ");
    let head = format!("static inline void {name}({})\n{{\n", parameters.join(", "));
    let portable = shape.portable();
    if shape.is_for_assembly() {
        let assembly = shape.assembly();
        write!(out, "#if defined(CRANELITE_DSP_LOOPS)\nCRANELITE_LOOP void {name}({unused})\n{{\n{assembly}}}\n#else\n{head}{portable}}}\n#endif\n\n")
            .expect("a string takes everything");
        return Some(out);
    }
    if let Some(assembly) = shape.thumb() {
        write!(out, "#if defined(CRANELITE_THUMB_LOOPS)\nCRANELITE_LOOP void {name}({unused})\n{{\n{assembly}}}\n#else\n{head}{portable}}}\n#endif\n\n")
            .expect("a string takes everything");
        return Some(out);
    }
    out += &head;
    if shape.group == 16 && shape.row == shape.column && !shape.sum {
        if let Some(loops) = shape.vector_loops() {
            write!(out, "#if defined(CRANELITE_MVE_LOOPS)\n{loops}#elif defined(CRANELITE_MVE)\n").expect("a string takes everything");
        } else {
            out += "#if defined(CRANELITE_MVE)\n";
        }
        write!(out, "{}#else\n{portable}#endif\n", shape.vectors()).expect("a string takes everything");
    } else {
        out += &portable;
    }
    out += "}\n\n";
    Some(out)
}

impl Shape {
    /// Where a sum is in the array; the sum of a row's bytes is behind those of its columns.
    fn at(&self, i: usize, j: usize) -> usize {
        i * (self.columns + usize::from(self.sum)) + j
    }

    fn cells(&self) -> Vec<(usize, usize)> {
        (0..self.rows.len()).flat_map(|i| (0..self.columns).map(move |j| (i, j))).collect()
    }

    /// Scalars, which compilers keep in registers.
    fn portable(&self) -> String {
        let n = self.columns;
        let cells = self.cells();
        let mut out = String::new();
        let mut line = |depth: usize, text: &str| writeln!(out, "{}{text}", "    ".repeat(depth)).expect("a string takes everything");
        for (i, j) in &cells {
            line(1, &format!("uint32_t s{i}{j} = (uint32_t)sums[{}];", self.at(*i, *j)));
        }
        let rows: Vec<usize> = if self.sum { (0..self.rows.len()).collect() } else { vec![] };
        for i in &rows {
            line(1, &format!("uint32_t t{i} = (uint32_t)sums[{}];", self.at(*i, n)));
        }
        line(1, "ptrdiff_t g, s;");
        line(1, "for (s = 0; s < segments; s++) {");
        line(2, "const uint8_t *p = x;");
        line(2, "for (g = 0; g < groups; g++) {");
        self.group_of_scalars(self.group, &mut line);
        line(3, &format!("p += {};", self.group));
        line(3, &format!("w += {};", self.group * n));
        line(2, "}");
        if let Some((at, count)) = self.last {
            line(2, &format!("p = x + {at};"));
            line(2, "{");
            self.group_of_scalars(count, &mut line);
            line(3, &format!("w += {};", self.group * n));
            line(2, "}");
        }
        line(2, &format!("x += {};", self.segment.unwrap_or(0)));
        line(1, "}");
        for (i, j) in &cells {
            line(1, &format!("sums[{}] = (int32_t)s{i}{j};", self.at(*i, *j)));
        }
        for i in &rows {
            line(1, &format!("sums[{}] = (int32_t)t{i};", self.at(*i, n)));
        }
        out
    }

    /// So many bytes of a group.
    fn group_of_scalars(&self, bytes: usize, line: &mut impl FnMut(usize, &str)) {
        let load = |elem: Elem, at: String| {
            if elem == Elem::U8 { format!("(int32_t){at}") } else { format!("(int32_t)(int8_t){at}") }
        };
        // Four are written out; of more compilers make vectors.
        let (count, depth) = if bytes <= 4 { (bytes as i64, 3) } else { (1, 4) };
        if bytes > 4 {
            line(3, "ptrdiff_t k;");
            line(3, &format!("for (k = 0; k < {bytes}; k++)"));
        }
        for k in 0..count {
            let at = |p: &str, first: i64| if bytes > 4 { format!("{p}[{first} + k]") } else { format!("{p}[{}]", first + k) };
            line(depth, "{");
            for (i, d) in self.rows.iter().enumerate() {
                line(depth + 1, &format!("const int32_t x{i} = {};", load(self.row, at("p", *d))));
            }
            for j in 0..self.columns {
                line(depth + 1, &format!("const int32_t w{j} = {};", load(self.column, at("w", (j * self.group) as i64))));
            }
            for (i, j) in self.cells() {
                line(depth + 1, &format!("s{i}{j} += (uint32_t)(x{i} * w{j});"));
            }
            for i in (0..self.rows.len()).filter(|_| self.sum) {
                line(depth + 1, &format!("t{i} += (uint32_t)x{i};"));
            }
            line(depth, "}");
        }
    }

    /// Assembly for cores that have Thumb alone: bytes without sign, which have addresses of their own, and the sum of a row's bytes in a high register.
    fn thumb(&self) -> Option<String> {
        let n = self.columns;
        let groups = self.groups.filter(|g| 0 < *g);
        let is_next = self.last.is_none_or(|l| Some(l.0) == self.groups.map(|g| 4 * g));
        if !self.sum || self.rows.len() != 1 || 4 < n || self.group != 4 || self.column != Elem::U8 || !is_next {
            return None;
        }
        let panel = 4 * n as i64;
        // r3 becomes a number.
        let number = |code: &mut Vec<String>, value: i64| {
            let bytes: Vec<i64> = value.to_be_bytes().iter().map(|b| i64::from(*b)).skip_while(|b| *b == 0).collect();
            code.push(format!("movs r3, #{}", bytes.first().unwrap_or(&0)));
            for b in bytes.iter().skip(1) {
                code.push("lsls r3, r3, #8".into());
                if *b != 0 {
                    code.push(format!("adds r3, #{b}"));
                }
            }
        };
        // Bytes from `at` on.
        let group = |code: &mut Vec<String>, number: usize, count: usize| {
            for i in 0..count {
                code.push(format!("ldrb r0, [r1, #{}]", 4 * number + i));
                if self.row == Elem::I8 {
                    code.push("sxtb r0, r0".into());
                }
                code.push("add r10, r0".into());
                for j in 0..n {
                    code.push(format!("ldrb r3, [r2, #{}]", number * panel as usize + 4 * j + i));
                    code.push("muls r3, r0, r3".into());
                    code.push(format!("adds r{0}, r{0}, r3", 4 + j));
                }
            }
        };
        let mut code: Vec<String> =
            ["push {r4-r7, lr}", "mov r4, r8", "mov r5, r9", "mov r6, r10", "push {r0, r4-r6}"].map(String::from).into();
        if self.groups.is_none() {
            code.extend(["cmp r3, #0", "bgt 5f", "b 9f", "5:"].map(String::from));
            code.extend([format!("movs r4, #{panel}"), "muls r3, r4, r3".into(), "adds r3, r3, r2".into(), "mov r8, r3".into()]);
        }
        if self.segment.is_some() {
            code.extend(["ldr r4, [sp, #36]", "cmp r4, #0", "bgt 5f", "b 9f", "5:"].map(String::from));
            number(&mut code, self.steps()? * panel);
            code.extend(["muls r4, r3, r4", "adds r4, r4, r2", "mov r9, r4"].map(String::from));
        }
        for j in 0..n {
            code.push(format!("ldr r{}, [r0, #{}]", 4 + j, 4 * j));
        }
        code.extend([format!("ldr r3, [r0, #{}]", 4 * n), "mov r10, r3".into()]);
        if self.segment.is_some() {
            code.push("2:".into());
        }
        if self.groups.is_none() || groups.is_some() {
            if let Some(groups) = groups {
                number(&mut code, groups * panel);
                code.extend(["adds r3, r3, r2", "mov r8, r3"].map(String::from));
            }
            let turns = if groups.is_some_and(|g| g % 2 == 0) && n == 4 { 2 } else { 1 };
            code.push("1:".into());
            (0..turns).for_each(|g| group(&mut code, g, 4));
            code.extend([format!("adds r1, #{}", 4 * turns), format!("adds r2, #{}", panel * turns as i64)]);
            code.extend(["cmp r2, r8", "bne 1b"].map(String::from));
        }
        if let Some((_, count)) = self.last {
            group(&mut code, 0, count);
            code.push(format!("adds r2, #{panel}"));
        }
        if let Some(segment) = self.segment {
            let moved = segment - 4 * self.groups.unwrap_or(0);
            if moved != 0 {
                number(&mut code, moved.abs());
                code.push(if 0 < moved { "adds r1, r1, r3".into() } else { "subs r1, r1, r3".into() });
            }
            code.extend(["cmp r2, r9", "beq 3f", "b 2b", "3:"].map(String::from));
        }
        code.push("ldr r0, [sp]".into());
        for j in 0..n {
            code.push(format!("str r{}, [r0, #{}]", 4 + j, 4 * j));
        }
        code.extend(["mov r3, r10".into(), format!("str r3, [r0, #{}]", 4 * n), "9:".into()]);
        code.extend(["pop {r0, r4-r6}", "mov r8, r4", "mov r9, r5", "mov r10, r6", "pop {r4-r7, pc}"].map(String::from));
        let mut out = String::from("    __asm__ volatile(\n        \".syntax unified\\n\\t\"\n");
        for c in &code {
            writeln!(out, "        \"{c}\\n\\t\"").expect("a string takes everything");
        }
        Some(out + "        );\n")
    }

    /// The same loops in assembly, where all groups are whole: compilers spend two moves in each turn.
    fn vector_loops(&self) -> Option<String> {
        let n = self.columns;
        let groups = self.groups.filter(|g| 0 < *g)?;
        let is_whole = self.last.is_none_or(|l| l.1 == 16);
        // Sums have even registers, and the counter of the loop one of them.
        if !is_whole || self.cells().len() > 4 || self.rows.iter().any(|d| !(0..112).contains(d)) {
            return None;
        }
        let sign = if self.row == Elem::U8 { "u8" } else { "s8" };
        let group = |code: &mut Vec<String>, row: String| {
            code.push(row);
            for j in 0..n {
                code.push(format!("vldrb.8 q{}, [%[w]], #16", 1 + j));
            }
            for j in 0..n {
                code.push(format!("vmladava.{sign} %[s0{j}], q0, q{}", 1 + j));
            }
        };
        if self.rows.len() != 1 {
            return None;
        }
        let mut code = vec![];
        if self.segment.is_some() {
            code.push("2:".into());
        }
        if groups == 1 {
            group(&mut code, "vldrb.8 q0, [%[x]], #16".into());
        } else {
            code.extend(["dls lr, %[groups]".into(), "1:".into()]);
            group(&mut code, "vldrb.8 q0, [%[x]], #16".into());
            code.push("le lr, 1b".into());
        }
        let moved = 16 * groups;
        if let Some((at, _)) = self.last {
            let back = at - moved;
            (-128 < back && back < 128).then_some(())?;
            group(&mut code, format!("vldrb.8 q0, [%[x], #{back}]"));
        }
        if let Some(segment) = self.segment {
            match segment - moved {
                0 => {}
                d if d < 0 => code.push(format!("sub %[x], %[x], #{}", -d)),
                d => code.push(format!("add %[x], %[x], #{d}")),
            }
            code.extend(["subs %[segments], %[segments], #1", "bne 2b"].map(String::from));
        }
        let mut out = String::new();
        let mut line = |text: String| writeln!(out, "    {text}").expect("a string takes everything");
        (0..n).for_each(|j| line(format!("int32_t s0{j} = sums[{j}];")));
        if groups == 1 {
            line("(void)groups;".into());
        }
        if self.segment.is_none() {
            line("(void)segments;".into());
        } else {
            line("if (segments > 0) {".into());
        }
        line("__asm__ volatile(".into());
        code.iter().for_each(|c| line(format!("    \"{c}\\n\\t\"")));
        let mut outputs: Vec<String> = (0..n).map(|j| format!("[s0{j}] \"+&Te\"(s0{j})")).collect();
        outputs.extend(["x", "w"].map(|p| format!("[{p}] \"+&r\"({p})")));
        if self.segment.is_some() {
            outputs.push("[segments] \"+&r\"(segments)".into());
        }
        line(format!("    : {}", outputs.join(", ")));
        line(format!("    : {}", if groups == 1 { "" } else { "[groups] \"r\"(groups)" }));
        let vectors: Vec<String> = (0..=n).map(|q| format!("\"q{q}\"")).collect();
        line(format!("    : \"cc\", \"lr\", \"memory\", {});", vectors.join(", ")));
        if self.segment.is_some() {
            line("}".into());
        }
        (0..n).for_each(|j| line(format!("sums[{j}] = s0{j};")));
        Some(out)
    }

    /// VMLADAVA: sixteen products into a sum.
    fn vectors(&self) -> String {
        let n = self.columns;
        let cells = self.cells();
        let (s, ty, of) = if self.row == Elem::U8 { ("u", "uint8_t", "uint32_t") } else { ("s", "int8_t", "int32_t") };
        let mut out = String::new();
        let mut line = |depth: usize, text: &str| writeln!(out, "{}{text}", "    ".repeat(depth)).expect("a string takes everything");
        for (i, j) in &cells {
            line(1, &format!("{of} s{i}{j} = ({of})sums[{}];", i * n + j));
        }
        let group = |line: &mut dyn FnMut(usize, &str), count: usize| {
            for (i, d) in self.rows.iter().enumerate() {
                let load = match count {
                    16 => format!("vldrbq_{s}8((const {ty} *)p + {d})"),
                    _ => format!("vldrbq_z_{s}8((const {ty} *)p + {d}, vctp8q({count}))"),
                };
                line(3, &format!("const {}x16_t x{i} = {load};", ty.trim_end_matches("_t")));
            }
            for j in 0..n {
                line(3, &format!("const {}x16_t w{j} = vldrbq_{s}8((const {ty} *)w + {});", ty.trim_end_matches("_t"), 16 * j));
            }
            for (i, j) in &cells {
                line(3, &format!("s{i}{j} = vmladavaq_{s}8(s{i}{j}, x{i}, w{j});"));
            }
            line(3, &format!("w += {};", 16 * n));
        };
        line(1, "ptrdiff_t g, s;");
        line(1, "for (s = 0; s < segments; s++) {");
        line(2, "const uint8_t *p = x;");
        line(2, "for (g = 0; g < groups; g++) {");
        group(&mut line, 16);
        line(3, "p += 16;");
        line(2, "}");
        if let Some((at, count)) = self.last {
            line(2, &format!("p = x + {at};"));
            line(2, "{");
            group(&mut line, count);
            line(2, "}");
        }
        line(2, &format!("x += {};", self.segment.unwrap_or(0)));
        line(1, "}");
        for (i, j) in &cells {
            line(1, &format!("sums[{}] = (int32_t)s{i}{j};", i * n + j));
        }
        out
    }

    /// One group in assembly, its bytes from `at` on, the pointer moving on by so many after it. SMLAD of pairs of 16 bits: even and odd bytes of a group apart. What
    /// has fewer of rows and columns is kept, the others pass one by one.
    fn group_of_pairs(&self, code: &mut Vec<String>, at: i64, moves: bool) {
        let (m, n) = (self.rows.len(), self.columns);
        let pairs = |elem: Elem| if elem == Elem::U8 { "uxtb16" } else { "sxtb16" };
        let row = |i: usize, to: &str| match self.rows[i] + at {
            0 if moves && i == 0 => format!("ldr {to}, [%[x]], #4"),
            0 => format!("ldr {to}, [%[x]]"),
            d => format!("ldr {to}, [%[x], #{d}]"),
        };
        let column = |to: &str| format!("ldr {to}, [%[w]], #4");
        let split = |code: &mut Vec<String>, word: &str, even: &str, elem: Elem| {
            code.push(format!("{} {even}, {word}", pairs(elem)));
            code.push(format!("{} {word}, {word}, ror #8", pairs(elem)));
        };
        // The pointer to rows moves with the first, which is loaded last.
        let order: Vec<usize> = (0..m).rev().collect();
        if m <= n {
            order.iter().for_each(|&i| code.push(row(i, &format!("%[a{i}]"))));
            order.iter().for_each(|&i| split(code, &format!("%[a{i}]"), &format!("%[b{i}]"), self.row));
            for j in 0..n {
                code.push(column("%[t]"));
                split(code, "%[t]", "%[u]", self.column);
                (0..m).for_each(|i| code.push(format!("smlad %[s{i}{j}], %[b{i}], %[u], %[s{i}{j}]")));
                (0..m).for_each(|i| code.push(format!("smlad %[s{i}{j}], %[a{i}], %[t], %[s{i}{j}]")));
            }
        } else {
            (0..n).for_each(|j| code.push(column(&format!("%[a{j}]"))));
            (0..n).for_each(|j| split(code, &format!("%[a{j}]"), &format!("%[b{j}]"), self.column));
            for i in order {
                code.push(row(i, "%[t]"));
                split(code, "%[t]", "%[u]", self.row);
                (0..n).for_each(|j| code.push(format!("smlad %[s{i}{j}], %[u], %[b{j}], %[s{i}{j}]")));
                (0..n).for_each(|j| code.push(format!("smlad %[s{i}{j}], %[t], %[a{j}], %[s{i}{j}]")));
            }
        }
    }

    /// A function without prologue: compilers need no register of their own in it, neither for a frame nor for an operand in memory.
    fn assembly(&self) -> String {
        let (m, n) = (self.rows.len(), self.columns);
        let turns = self.at_once();
        let is_loop = self.groups != Some(turns);
        let mut code: Vec<String> = vec!["push {r0, r4-r11, lr}".into()];
        // What runs as long as pointers differ must begin with a difference.
        if self.groups.is_none() {
            code.extend(["cmp r3, #0", "ble 9f"].map(String::from));
        }
        if self.segment.is_some() {
            code.extend(["ldr r4, [sp, #40]", "cmp r4, #0", "ble 9f"].map(String::from));
        }
        // Where the panel ends is kept on the stack, and where its segment does.
        let has_end = is_loop || self.segment.is_some();
        let panel = 4 * n as i64;
        if has_end {
            let (count, bytes) = match (self.segment, self.groups) {
                (Some(_), _) => ("r4", self.steps().unwrap_or(0) * panel),
                (None, None) => ("r3", panel),
                (None, Some(groups)) => ("", groups * panel),
            };
            code.extend([format!("movw r5, #{}", bytes & 0xffff), format!("movt r5, #{}", bytes >> 16)]);
            code.push(if count.is_empty() { "add r4, r2, r5".into() } else { format!("mla r4, {count}, r5, r2") });
            code.push("str r4, [sp, #-8]!".into());
        }
        let sums = format!("r4-r{}", 3 + m * n);
        let sums = if m * n == 1 { "r4" } else { &sums };
        code.push(format!("ldm r0, {{{sums}}}"));
        if self.segment.is_some() {
            code.push("2:".into());
        }
        let bytes_of_rows = self.groups.unwrap_or(0) * 4;
        let mut moved = 0;
        if is_loop {
            if self.segment.is_some() {
                // The pointer to the panel ends the inner loop, too.
                code.extend([format!("add %[t], %[w], #{}", bytes_of_rows * n as i64), "str %[t], [sp, #4]".into()]);
            }
            code.push("1:".into());
            (0..turns).for_each(|_| self.group_of_pairs(&mut code, 0, true));
            let end = if self.segment.is_some() { "[sp, #4]" } else { "[sp]" };
            code.extend([format!("ldr %[t], {end}"), "cmp %[w], %[t]".into(), "bne 1b".into()]);
            moved = bytes_of_rows;
        } else {
            (0..turns).for_each(|g| self.group_of_pairs(&mut code, 4 * g, false));
        }
        if let Some((at, _)) = self.last {
            self.group_of_pairs(&mut code, at - moved, false);
        }
        if let Some(segment) = self.segment {
            match segment - moved {
                0 => {}
                d if d < 0 => code.push(format!("sub %[x], %[x], #{}", -d)),
                d => code.push(format!("add %[x], %[x], #{d}")),
            }
            code.extend(["ldr %[t], [sp]", "cmp %[w], %[t]", "bne 2b"].map(String::from));
        }
        if has_end {
            code.push("add sp, sp, #8".into());
        }
        code.extend(["ldr r0, [sp]".into(), format!("stm r0, {{{sums}}}"), "9:".into(), "pop {r0, r4-r11, pc}".into()]);
        let mut registers = BTreeMap::from([("x".to_string(), "r1"), ("w".into(), "r2"), ("t".into(), "r12"), ("u".into(), "lr")]);
        for ((i, j), register) in self.cells().into_iter().zip(["r4", "r5", "r6", "r7", "r8", "r9"]) {
            registers.insert(format!("s{i}{j}"), register);
        }
        for (i, pair) in [["r0", "r3"], ["r10", "r11"]].iter().enumerate() {
            registers.extend([(format!("a{i}"), pair[0]), (format!("b{i}"), pair[1])]);
        }
        let mut out = String::from("    __asm__ volatile(\n        \".syntax unified\\n\\t\"\n");
        for c in &code {
            let text = registers.iter().fold(c.clone(), |text, (name, register)| text.replace(&format!("%[{name}]"), register));
            writeln!(out, "        \"{text}\\n\\t\"").expect("a string takes everything");
        }
        out + "        );\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_everything() {
        let shape = Shape {
            rows: vec![0, 64, -8],
            columns: 2,
            row: Elem::U8,
            column: Elem::I8,
            group: 4,
            groups: Some(16),
            last: Some((61, 3)),
            segment: Some(960),
            sum: true,
        };
        assert_eq!(Shape::parse(&shape.name()), Some(shape.clone()));
        let unknown = Shape { groups: None, last: None, segment: None, ..shape };
        assert_eq!(Shape::parse(&unknown.name()), Some(unknown));
        assert_eq!(Shape::parse("dots_2x2_i8_i8_4_n1"), None);
        assert_eq!(Shape::parse("requantize"), None);
    }
}
