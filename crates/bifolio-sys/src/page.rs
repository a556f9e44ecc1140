//! Pages and page sizes: asked of the kernel, never assumed.
