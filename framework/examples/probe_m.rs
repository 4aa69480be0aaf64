use framework::numerics::*;
use ndarray::Array2;
use std::time::Instant;
fn t(name:&str, mut f: impl FnMut()){ let mut best=f64::MAX; for _ in 0..5 { let s=Instant::now(); f(); best=best.min(s.elapsed().as_secs_f64()); } println!("{name}: {:.2} ms", best*1e3); }
fn main(){
  let n=640; let d=256; let m=1500;
  let mut s=1u64; let mut r=move||{ s^=s<<13; s^=s>>7; s^=s<<17; (s>>11) as f64/(1u64<<53) as f64 -0.5};
  let x=Array2::from_shape_simple_fn((n,d),&mut r);
  let z=Array2::from_shape_simple_fn((m,d),&mut r);
  let med = { let q=sq_distances(x.view(),x.view()); q.mean().unwrap() };
  let mut k=sq_distances(x.view(),x.view()); k.mapv_inplace(|v| (-0.5*v/med).exp());
  let mut a=k.clone(); a.diag_mut().iter_mut().for_each(|v| *v+=0.1);
  t("sqd nn",||{ std::hint::black_box(sq_distances(x.view(),x.view())); });
  t("sqd mn",||{ std::hint::black_box(sq_distances(z.view(),x.view())); });
  let dd=sq_distances(z.view(),x.view());
  t("matmul mn",||{ std::hint::black_box(matmul_t(z.view(),x.view())); });
  t("exp mn 0.96M",||{ let mut e=dd.clone(); e.as_slice_mut().unwrap().iter_mut().for_each(|v| *v=(-0.5* *v).exp()); std::hint::black_box(e); });
  t("clone",||{ std::hint::black_box(dd.clone()); });
  t("eigh",||{ std::hint::black_box(eigh(k.view()).unwrap()); });
  t("tridiag",||{ std::hint::black_box(Tridiagonal::new(k.view())); });
  let y=Array2::from_shape_simple_fn((n,1),&mut r);
  let td=Tridiagonal::new(k.view());
  t("rotate",||{ std::hint::black_box(td.rotate(y.view())); });
  t("chol",||{ std::hint::black_box(Cholesky::new(a.view()).unwrap()); });
  let c=Cholesky::new(a.view()).unwrap();
  let kt=dd.t().to_owned();
  t("quadratic F",||{ std::hint::black_box(c.quadratic(dd.t())); });
  t("quadratic C",||{ std::hint::black_box(c.quadratic(kt.view())); });
  t("matmul m n n",||{ std::hint::black_box(matmul(dd.view(),a.view())); });
  t("median select",||{ let q=sq_distances(x.view(),x.view());
    let mut pairs: Vec<f64> = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|ij| q[ij]).collect(); let mid=pairs.len()/2;
    std::hint::black_box(pairs.select_nth_unstable_by(mid, f64::total_cmp).1); });
}
