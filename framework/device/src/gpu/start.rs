//! Which GPUs there are, asked in ways that do not fail loudly.

use super::{Gpu, guard};
use crate::contract::Device;
use crate::probe::Start;
use cubecl::Runtime;
use cubecl::cuda::{CudaDevice, CudaRuntime};
use cubecl::wgpu::{AutoGraphicsApi, GraphicsApi, WgpuDevice, WgpuRuntime};

/// What can be tried, best first. `software`: a rasteriser on the processor is welcome.
pub fn candidates(software: bool) -> Vec<Start> {
    match software {
        true => vec![cuda, any_wgpu],
        false => vec![cuda, real_wgpu],
    }
}

fn cuda() -> Result<Box<dyn Device>, String> {
    guard::quietly(start_cuda).unwrap_or_else(Err).map_err(|cause| format!("CUDA: {cause}"))
}

fn start_cuda() -> Result<Box<dyn Device>, String> {
    // SAFETY: these only try to open the libraries.
    if !unsafe { cudarc::driver::sys::is_culib_present() } {
        return Err("the driver library libcuda is not installed".into());
    }
    if !unsafe { cudarc::nvrtc::sys::is_culib_present() } {
        return Err("libnvrtc, which compiles kernels, is not installed".into());
    }
    let headers = cubecl::cuda::install::cuda_path().map(|path| path.join("include"));
    if !headers.is_some_and(|path| path.exists()) {
        return Err("the CUDA headers are missing: set CUDA_PATH to a folder that has include/".into());
    }
    cudarc::driver::result::init().map_err(|error| format!("the driver does not start ({error:?})"))?;
    let count = cudarc::driver::result::device::get_count().map_err(|error| format!("{error:?}"))?;
    if count == 0 {
        return Err("the driver sees no device".into());
    }
    let name = cudarc::driver::result::device::get(0)
        .and_then(cudarc::driver::result::device::get_name)
        .unwrap_or_else(|_| "unknown".into());
    let client = CudaRuntime::client(&CudaDevice { index: 0 });
    Ok(Box::new(Gpu::new(client, format!("cuda: {name}"), false)))
}

fn any_wgpu() -> Result<Box<dyn Device>, String> {
    guard::quietly(|| start_wgpu(true)).unwrap_or_else(Err).map_err(|cause| format!("wgpu: {cause}"))
}

fn real_wgpu() -> Result<Box<dyn Device>, String> {
    guard::quietly(|| start_wgpu(false)).unwrap_or_else(Err).map_err(|cause| format!("wgpu: {cause}"))
}

fn start_wgpu(software: bool) -> Result<Box<dyn Device>, String> {
    use wgpu::DeviceType;
    let backend = AutoGraphicsApi::backend();
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: backend.into(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let adapters = cubecl::future::block_on(instance.enumerate_adapters(backend.into()));
    let kinds = [
        (DeviceType::DiscreteGpu, WgpuDevice::DiscreteGpu(0)),
        (DeviceType::IntegratedGpu, WgpuDevice::IntegratedGpu(0)),
        (DeviceType::VirtualGpu, WgpuDevice::VirtualGpu(0)),
        (DeviceType::Cpu, WgpuDevice::Cpu),
    ];
    for (kind, device) in kinds {
        let Some(adapter) = adapters.iter().find(|adapter| adapter.get_info().device_type == kind) else { continue };
        let name = adapter.get_info().name;
        if kind == DeviceType::Cpu && !software {
            return Err(format!("the only adapter is {name}, which runs on the processor"));
        }
        let client = WgpuRuntime::client(&device);
        return Ok(Box::new(Gpu::new(client, format!("wgpu: {name}"), kind == DeviceType::Cpu)));
    }
    Err(format!("there is no {backend:?} adapter"))
}
