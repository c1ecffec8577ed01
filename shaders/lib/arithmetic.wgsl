// The common start of all kernels on residues: the modulus, at binding 0, and products.
//% include lib/residue.wgsl
//% include lib/exchange_${EXCHANGE}.wgsl
//% include lib/modulus.wgsl
//% include lib/sums.wgsl
//% include lib/product.wgsl name=mont_mul cross=2
