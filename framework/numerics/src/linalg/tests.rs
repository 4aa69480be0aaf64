use super::*;
use ndarray::{Array, Array2, array};

fn table(r: usize, c: usize) -> Array2<f64> {
    Array::from_shape_fn((r, c), |(i, j)| ((i * 31 + j * 17 + i * j) % 23) as f64 / 7.0 - 1.0)
}

#[test]
fn products_match_the_definition_for_any_layout() {
    let (a, b) = (table(530, 9), table(9, 11));
    let p = matmul(a.view(), b.view());
    for (i, j) in [(0, 0), (255, 3), (256, 10), (529, 7)] {
        let want: f64 = (0..9).map(|k| a[(i, k)] * b[(k, j)]).sum();
        assert!((p[(i, j)] - want).abs() < 1e-12 * want.abs().max(1.0));
    }
    let q = matmul_t(a.view(), b.t());
    assert!((&p - &q).iter().all(|d| d.abs() < 1e-12));
    let s = symmetric_product(a.view());
    assert!((&s - &matmul(a.t(), a.view())).iter().all(|d| d.abs() < 1e-10));
}

#[test]
fn distances_of_far_off_duplicates_are_exact() {
    let a = table(7, 5) + 1e6;
    let d = sq_distances(a.view(), a.view());
    for i in 0..7 {
        for j in 0..7 {
            let want: f64 = (0..5).map(|k| (a[(i, k)] - a[(j, k)]).powi(2)).sum();
            assert!((d[(i, j)] - want).abs() < 1e-12 * want.max(1.0), "{i} {j}");
        }
    }
}

#[test]
fn cholesky_solves_and_knows_its_determinant() {
    let a = array![[4.0, 2.0, 0.6], [2.0, 5.0, 1.0], [0.6, 1.0, 3.0]];
    let c = Cholesky::new(a.view()).unwrap();
    let b = array![[1.0, 0.0], [2.0, 1.0], [3.0, -1.0]];
    let x = c.solve(b.view());
    assert!((&a.dot(&x) - &b).iter().all(|d| d.abs() < 1e-12));
    let det: f64 = 4.0 * (15.0 - 1.0) - 2.0 * (6.0 - 0.6) + 0.6 * (2.0 - 3.0);
    assert!((c.log_det() - det.ln()).abs() < 1e-12);
    let q = c.quadratic(b.view());
    for (j, q) in q.iter().enumerate() {
        assert!((q - b.column(j).dot(&x.column(j))).abs() < 1e-12);
    }
}

#[test]
fn cholesky_adds_jitter_or_says_why_not() {
    let c = Cholesky::new(array![[1.0, 1.0], [1.0, 1.0]].view()).unwrap();
    assert!(c.jitter >= 0.0 && c.jitter < 1e-3);
    let e = Cholesky::new(array![[1.0, 3.0], [3.0, 1.0]].view()).unwrap_err().to_string();
    assert!(e.contains("not positive definite"), "{e}");
}

#[test]
fn eigenpairs_rebuild_the_matrix() {
    let a = symmetric_product(table(20, 6).view());
    let (s, u) = eigh(a.view()).unwrap();
    let back = (&u * &s).dot(&u.t());
    assert!((&back - &a).iter().all(|d| d.abs() < 1e-9));
    assert!(s.windows(2).into_iter().all(|w| w[0] <= w[1]));
}
